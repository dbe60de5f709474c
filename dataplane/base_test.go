package dataplane_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/postern-gateway/postern/dataplane/proxy/pagetest"
)

// A sheet is an answer of a library.
type sheet struct {
	status int
	header map[string]string
	// chunks are the body; each is a DATA frame of its own, which Envoy gives its filters as one chunk.
	chunks []string
	// more, where not nil, is waited for between the chunks.
	more chan struct{}
	// trailers has trailers end the body.
	trailers bool
}

// A library is a backend, by HTTP/2, that answers with what it was given.
type library struct {
	server *httptest.Server
	mu     sync.Mutex
	sheets []sheet // guarded by mu
}

func newLibrary(t testing.TB) *library {
	l := &library{}
	l.server = httptest.NewUnstartedServer(l)
	l.server.Config.Protocols = new(http.Protocols)
	l.server.Config.Protocols.SetUnencryptedHTTP2(true)
	l.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	l.server.Start()
	t.Cleanup(l.server.Close)
	return l
}

// add gives the path of a sheet.
func (l *library) add(s sheet) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sheets = append(l.sheets, s)
	return fmt.Sprint(len(l.sheets) - 1)
}

func (l *library) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var i int
	fmt.Sscanf(r.URL.Path, "/%d", &i)
	l.mu.Lock()
	s := l.sheets[i]
	l.mu.Unlock()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	for name, value := range s.header {
		w.Header().Set(name, value)
	}
	if s.status != 0 {
		w.WriteHeader(s.status)
	}
	for i, chunk := range s.chunks {
		if i > 0 && s.more != nil {
			select {
			case <-s.more:
			case <-r.Context().Done():
				return
			}
		}
		io.WriteString(w, chunk)
		w.(http.Flusher).Flush()
	}
	if s.trailers {
		w.Header().Set(http.TrailerPrefix+"X-End", "1")
	}
}

// A shelf is a library behind a data plane, under each of the prefixes of the table.
type shelf struct {
	*library
	at       net.Addr
	client   *http.Client
	prefixes []string
}

// newShelf puts a library behind the data plane. The path /N/below/ has the N-th prefix, and so has /N/bare/, where a
// base is inserted.
func newShelf(t testing.TB, c *controlPlane, p *plane) *shelf {
	s := &shelf{library: newLibrary(t), at: p.http}
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: readers}
	t.Cleanup(transport.CloseIdleConnections)
	s.client = &http.Client{Transport: transport, Timeout: patience}
	var all []*routev3.Route
	for _, row := range pagetest.Rows() {
		if !slices.Contains(s.prefixes, row.Prefix) {
			at := fmt.Sprintf("/%d/", len(s.prefixes))
			all = append(all, withBase(forward(prefix(at+"below/"), "library", rewriteTo("/")), row.Prefix, false),
				withBase(forward(prefix(at+"bare/"), "library", rewriteTo("/")), row.Prefix, true))
			s.prefixes = append(s.prefixes, row.Prefix)
		}
	}
	c.set(clusterOf("library", h2c), assignment("library", s.server.Listener.Addr()), listener(t, "http", p.http),
		routes("http", host("*", all...)))
	return s
}

// readers is how many requests a test has under way at once.
const readers = 4

// ask gets a page by the prefix, and its answer.
func (s *shelf) ask(t testing.TB, method, prefix, where, path string) (*http.Response, string) {
	t.Helper()
	url := fmt.Sprintf("http://%s/%d/%s/%s", s.at, slices.Index(s.prefixes, prefix), where, path)
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.client.Do(r)
	if err != nil {
		t.Error(err)
		return nil, ""
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Errorf("%s %s: %v", method, url, err)
	}
	return response, string(body)
}

// page is what comes of a page that is sent in chunks.
func (s *shelf) page(t testing.TB, prefix, where string, chunks ...string) string {
	t.Helper()
	_, body := s.ask(t, http.MethodGet, prefix, where, s.add(sheet{chunks: chunks}))
	return body
}

// atOnce runs a job for each of n numbers, several at a time.
func atOnce(n int, job func(int)) {
	numbers := make(chan int)
	var wait sync.WaitGroup
	for range readers {
		wait.Go(func() {
			for i := range numbers {
				job(i)
			}
		})
	}
	for i := range n {
		numbers <- i
	}
	close(numbers)
	wait.Wait()
}

// onShelves runs a test on a library behind the Go data plane and on one behind Envoy.
func onShelves(t *testing.T, test func(*testing.T, *shelf)) {
	shelves := map[*plane]*shelf{}
	var mu sync.Mutex
	onEach(t, func(t *testing.T, c *controlPlane, p *plane) {
		s := newShelf(t, c, p)
		mu.Lock()
		defer mu.Unlock()
		shelves[p] = s
	}, func(t *testing.T, _ *controlPlane, p *plane) { test(t, shelves[p]) })
}

func TestBaseScript(t *testing.T) {
	onShelves(t, func(t *testing.T, s *shelf) {
		rows := pagetest.Rows()
		atOnce(len(rows), func(i int) {
			row := rows[i]
			for where, want := range map[string]string{"below": row.Below, "bare": row.Bare} {
				for cut := range len(row.Page) {
					if got := s.page(t, row.Prefix, where, row.Page[:cut], row.Page[cut:]); got != want {
						t.Errorf("%s, %q cut at %d:\n got %q\nwant %q", where, row.Page, cut, got, want)
						break
					}
				}
			}
		})
	})
}

// TestBaseScriptsAgree: on random pages in random chunks, the Go data plane and Envoy give the same bytes.
func TestBaseScriptsAgree(t *testing.T) {
	one, other := newControlPlane(t), newControlPlane(t)
	var byGo, byEnvoy *shelf
	startGo(t, one, func(p *plane) { byGo = newShelf(t, one, p) })
	startEnvoy(t, other, func(p *plane) { byEnvoy = newShelf(t, other, p) })
	var changed int
	var mu sync.Mutex
	atOnce(1000, func(i int) {
		r := rand.New(rand.NewPCG(uint64(i), 5))
		page := pagetest.Random(r, 25)
		chunks := pagetest.Chunks(r, page, 6)
		for _, where := range []string{"below", "bare"} {
			got, want := byEnvoy.page(t, "/k8s", where, chunks...), byGo.page(t, "/k8s", where, chunks...)
			if got != want {
				t.Errorf("%s, %q:\nEnvoy %q\n   Go %q", where, chunks, got, want)
			}
			if want != page {
				mu.Lock()
				changed++
				mu.Unlock()
			}
		}
	})
	if changed < 300 {
		t.Errorf("only %d pages were changed: the pages are no good", changed)
	}
}

// TestBaseScriptHeaders: what is a page, and what its header says once its bytes may have changed.
func TestBaseScriptHeaders(t *testing.T) {
	const page, changed = `<base href="/">`, `<base href="/k8s/">`
	exact := map[string]string{
		"Content-Length": "15", "Etag": `"1"`, "Accept-Ranges": "bytes", "Last-Modified": "x", "Digest": "a=b",
		"Content-Digest": "a=b", "Repr-Digest": "a=b", "Content-Md5": "a",
	}
	loose := map[string]string{"Etag": `W/"1"`, "Last-Modified": "x"}
	with := func(name, value string) map[string]string {
		out := maps.Clone(exact)
		out[name] = value
		return out
	}
	rows := []struct {
		name, method string
		sheet        sheet
		body         string
		header       map[string]string
	}{
		{"a page", "GET", sheet{header: exact}, changed, loose},
		{"an answer to POST", "POST", sheet{header: exact}, changed, loose},
		{"a page of an error", "GET", sheet{status: 404, header: exact}, changed, loose},
		{"a type with space and case", "GET", sheet{header: with("Content-Type", "TEXT/Html ; charset=x")}, changed, loose},
		{"identity", "GET", sheet{header: with("Content-Encoding", "Identity")}, changed, loose},
		{"a weak tag", "GET", sheet{header: with("Etag", `W/"1"`)}, changed, loose},
		{"HEAD", "HEAD", sheet{header: exact}, "", loose},
		{"gzip", "GET", sheet{header: with("Content-Encoding", "gzip")}, page, exact},
		{"text", "GET", sheet{header: with("Content-Type", "text/plain")}, page, exact},
		{"XHTML", "GET", sheet{header: with("Content-Type", "application/xhtml+xml")}, page, exact},
		{"something like it", "GET", sheet{header: with("Content-Type", "text/html5")}, page, exact},
		{"a part of a page", "GET", sheet{status: 206, header: exact}, page, exact},
		{"not modified", "GET", sheet{status: 304, header: map[string]string{"Etag": `"1"`}}, "", map[string]string{"Etag": `W/"1"`}},
		{"trailers", "GET", sheet{header: exact, trailers: true}, changed, loose},
	}
	onShelves(t, func(t *testing.T, s *shelf) {
		for _, row := range rows {
			if row.body != "" {
				row.sheet.chunks = []string{page[:5], page[5:]}
			}
			response, body := s.ask(t, row.method, "/k8s", "below", s.add(row.sheet))
			if response == nil {
				continue
			}
			if body != row.body {
				t.Errorf("%s: body %q, want %q", row.name, body, row.body)
			}
			for name := range exact {
				if got := response.Header.Get(name); got != row.header[name] {
					t.Errorf("%s: %s is %q, want %q", row.name, name, got, row.header[name])
				}
			}
		}
	})
}

func repeat(s string, n int) string { return strings.Repeat(s, n) }

// TestBaseScriptStreams: a page flows as it comes, and however long it is.
func TestBaseScriptStreams(t *testing.T) {
	onShelves(t, func(t *testing.T, s *shelf) {
		for _, where := range []string{"below", "bare"} {
			slow := sheet{more: make(chan struct{}), chunks: []string{
				"<!doctype html>\n<title>slow</title><!-- ", "<base href='/'> -->", "<base hr", "ef=", "/", " ", ">", "<p>", "one ", "two ", "three",
			}}
			response, err := s.client.Get(fmt.Sprintf("http://%s/0/%s/%s", s.at, where, s.add(slow)))
			if err != nil {
				t.Fatal(err)
			}
			buffer := make([]byte, 1024)
			for i, chunk := range slow.chunks {
				if chunk == " " {
					chunk = "k8s/ " // what was inserted comes with the byte before which it stands
				}
				// All but a name that may have to be held back is here before the next chunk is sent.
				if n, err := io.ReadFull(response.Body, buffer[:len(chunk)]); err != nil || string(buffer[:n]) != chunk {
					t.Fatalf("%s: chunk %d is %q, %v; want %q", where, i, buffer[:n], err, chunk)
				}
				if i < len(slow.chunks)-1 {
					slow.more <- struct{}{}
				}
			}
			response.Body.Close()
		}
		const tag, at, limit, far = `<base href="/">`, `<base href="/k8s/">`, 64 << 10, 1 << 20
		paragraphs := repeat("<p>12345", far/8)
		for name, c := range map[string]struct{ page, below, bare string }{
			"a base at the beginning": {tag + paragraphs, at + paragraphs, at + paragraphs},
			"no base":                 {paragraphs, paragraphs, at + paragraphs},
			"a base near the limit":   {paragraphs[:limit-16] + tag, paragraphs[:limit-16] + at, at + paragraphs[:limit-16] + tag},
			"a base at the limit":     {paragraphs[:limit-8] + tag, paragraphs[:limit-8] + tag, at + paragraphs[:limit-8] + tag},
			"a long title":            {"<title>" + paragraphs, "<title>" + paragraphs, "<title>" + paragraphs},
			"a long comment":          {"<!--" + paragraphs, "<!--" + paragraphs, "<!--" + paragraphs},
			"a long name":             {"<" + repeat("a", far), "<" + repeat("a", far), at + "<" + repeat("a", far)},
			"a long attribute":        {"<base " + repeat("a", far), "<base " + repeat("a", far), "<base " + repeat("a", far)},
			"a long value":            {`<base a="` + repeat(">", far), `<base a="` + repeat(">", far), `<base a="` + repeat(">", far)},
			"dashes":                  {"<!" + repeat("-", far), "<!" + repeat("-", far), "<!" + repeat("-", far)},
			"less-than signs":         {repeat("<", far), repeat("<", far), repeat("<", far)},
		} {
			for where, want := range map[string]string{"below": c.below, "bare": c.bare} {
				var chunks []string
				for chunk := range slices.Chunk([]byte(c.page), 24<<10) {
					chunks = append(chunks, string(chunk))
				}
				for _, sent := range [][]string{{c.page}, chunks} {
					if got := s.page(t, "/k8s", where, sent...); got != want {
						t.Errorf("%s, %s, in %d chunks: %d bytes, want %d", name, where, len(sent), len(got), len(want))
					}
				}
			}
		}
	})
}

// TestBaseScriptLeavesUpgrades: what goes over an upgraded connection is no page, whatever its header says.
func TestBaseScriptLeavesUpgrades(t *testing.T) {
	configure := func(t *testing.T, c *controlPlane, p *plane) {
		b := backend(t)
		c.set(clusterOf("echo"), assignment("echo", b.Listener.Addr()), listener(t, "http", p.http),
			routes("http", host("*", withBase(forward(prefix("/k8s/"), "echo", rewriteTo("/")), "/k8s", true))))
	}
	onEach(t, configure, func(t *testing.T, c *controlPlane, p *plane) {
		conn, err := net.Dial("tcp", p.http.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		io.WriteString(conn, "GET /k8s/ws HTTP/1.1\r\nHost: h.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		reader := bufio.NewReader(conn)
		response, err := http.ReadResponse(reader, nil)
		if err != nil || response.StatusCode != http.StatusSwitchingProtocols || response.Header.Get("Content-Type") != "text/html" {
			t.Fatalf("%+v, %v", response, err)
		}
		const sent = `<p><base href="/">`
		io.WriteString(conn, sent)
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(reader, got); err != nil || string(got) != sent {
			t.Errorf("%q came back, %v; want %q", got, err, sent)
		}
	})
}
