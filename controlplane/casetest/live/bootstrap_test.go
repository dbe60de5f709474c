package live

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/postern-gateway/postern/controlplane/casetest"
)

// TestBootstrapResumesSessions: with certificates in the file, unlike over xDS, a client may take up its session again.
func TestBootstrapResumesSessions(t *testing.T) {
	NeedEnvoy(t)
	all := casetest.Load(t, cases)
	c := all[slices.IndexFunc(all, func(c *casetest.Case) bool { return c.Name == "tls/sni" })]
	results, err := c.Translate()
	if err != nil {
		t.Fatal(err)
	}
	j := Bootstrap.Open(t, c).(*bootstrapJudge)
	if err := j.Publish(results[0]); err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{ServerName: "shop.test", InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	for _, resumed := range []bool{false, true} {
		conn, err := tls.Dial("tcp", j.entries["https"].String(), config)
		if err != nil {
			t.Fatal(err)
		}
		// In TLS 1.3 the ticket comes with the answer.
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", response, err)
		}
		if got := conn.ConnectionState().DidResume; got != resumed {
			t.Errorf("the session is resumed: %v, want %v", got, resumed)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}
