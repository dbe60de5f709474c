package inflight

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/postern-gateway/postern/dataplane/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func limits(t *testing.T, text string) *config.InFlight {
	t.Helper()
	out, err := config.ParseInFlight(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func from(client, host, key string) Request {
	return Request{Client: client, Authority: host, Header: func(name string) string {
		if name != "x-key" {
			return ""
		}
		return key
	}}
}

// over is a context of a request that waits for nothing.
func over(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestKeys(t *testing.T) {
	for _, row := range []struct {
		limits, others string
		request        Request
		want           int
	}{
		{"a client=1", "a client=1", from("192.0.2.1", "other.test", "b"), 429},
		{"a client=1", "a client=1", from("192.0.2.2", "h.test", "a"), 0},
		{"a client=1", "b client=1", from("192.0.2.1", "h.test", "a"), 0},
		{"a client=1", "a client=2", from("192.0.2.1", "h.test", "a"), 0},
		{"a host=1", "a host=1", from("192.0.2.2", "H.test:80", "b"), 429},
		{"a host=1", "a host=1", from("192.0.2.1", "g.test", "a"), 0},
		{"a header:x-key=1", "a header:x-key=1", from("192.0.2.2", "g.test", "a"), 429},
		{"a header:x-key=1", "a header:x-key=1", from("192.0.2.1", "h.test", ""), 0},
		{"a header:x-key=1", "a header:x-other=1", from("192.0.2.1", "h.test", "a"), 0},
		{"a client=5 host=1", "a client=5 host=1", from("192.0.2.2", "h.test", "a"), 429},
	} {
		l := New()
		done, refused := l.Enter(t.Context(), limits(t, row.limits), from("192.0.2.1", "h.test", "a"))
		if done == nil {
			t.Fatalf("%+v: the first is refused: %d", row, refused)
		}
		second, got := l.Enter(over(t), limits(t, row.others), row.request)
		if got != row.want || (second == nil) != (got != 0) {
			t.Errorf("%s, then %s: %d, want %d", row.limits, row.others, got, row.want)
		}
		done()
		if second != nil {
			second()
		}
		if len(l.counts) != 0 || l.total != 0 {
			t.Errorf("%s, then %s: %d keys and %d requests are kept", row.limits, row.others, len(l.counts), l.total)
		}
	}
}

// TestNobodyIsOver: whatever happens at once, no more are in than a limit admits, and nothing is kept.
func TestNobodyIsOver(t *testing.T) {
	l, most := New(), limits(t, "a client=3")
	var mu sync.Mutex
	var in, highest int
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			for range 100 {
				done, _ := l.Enter(t.Context(), most, from("192.0.2.1", "h.test", ""))
				if done == nil {
					continue
				}
				mu.Lock()
				in++
				highest = max(highest, in)
				mu.Unlock()
				mu.Lock()
				in--
				mu.Unlock()
				done()
			}
		})
	}
	group.Wait()
	if highest > 3 || highest == 0 || len(l.counts) != 0 || l.total != 0 {
		t.Errorf("%d at once, then %d keys and %d requests; want 3 at most, and none", highest, len(l.counts), l.total)
	}
}

// TestWaits: a request beyond a limit is admitted when one goes, and only so many wait.
func TestWaits(t *testing.T) {
	l, most := New(), limits(t, "a client=1")
	first, _ := l.Enter(t.Context(), most, from("192.0.2.1", "h.test", ""))
	got := make(chan func(), 1)
	go func() {
		for {
			// On a slow machine the wait may be over too soon.
			if done, _ := l.Enter(t.Context(), most, from("192.0.2.1", "h.test", "")); done != nil {
				got <- done
				return
			}
		}
	}()
	waiting := func() uint32 {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, c := range l.counts {
			return c.waiting
		}
		return 0
	}
	for end := time.Now().Add(30 * time.Second); waiting() == 0; {
		if time.Now().After(end) {
			t.Fatal("nobody waits")
		}
	}
	first()
	(<-got)()
	if len(l.counts) != 0 || l.total != 0 {
		t.Errorf("%d keys and %d requests are kept", len(l.counts), l.total)
	}
}

func TestMostOfAll(t *testing.T) {
	l := New()
	l.total = Max
	if done, refused := l.Enter(t.Context(), limits(t, "a client=1"), from("192.0.2.1", "h.test", "")); done != nil || refused != 503 {
		t.Errorf("a request beyond all: %d, want 503", refused)
	}
}

// process serves a Limiter as an Envoy asks it.
func process(t *testing.T, l *Limiter) extprocv3.ExternalProcessorClient {
	t.Helper()
	lis, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	extprocv3.RegisterExternalProcessorServer(g, l)
	served := make(chan error, 1)
	go func() { served <- g.Serve(lis) }()
	conn, err := grpc.NewClient("unix://"+lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		g.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return extprocv3.NewExternalProcessorClient(conn)
}

func ask(t *testing.T, c extprocv3.ExternalProcessorClient, limits string) (extprocv3.ExternalProcessor_ProcessClient, *extprocv3.ProcessingResponse, error) {
	t.Helper()
	ctx := metadata.AppendToOutgoingContext(t.Context(), config.InFlightMetadata, limits, config.ClientMetadata, "192.0.2.1")
	stream, err := c.Process(ctx)
	if err != nil {
		t.Fatal(err)
	}
	headers := &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: ":authority", RawValue: []byte("h.test")}}}
	if err := stream.Send(&extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestHeaders{
		RequestHeaders: &extprocv3.HttpHeaders{Headers: headers},
	}}); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	return stream, answer, err
}

// TestProcess: a stream counts until it ends, trailers pass, and End ends it well.
func TestProcess(t *testing.T) {
	l := New()
	c := process(t, l)
	stream, answer, err := ask(t, c, "a client=1")
	if err != nil || answer.GetRequestHeaders() == nil && answer.GetResponse() == nil {
		t.Fatalf("the first: %v, %v", answer, err)
	}
	if _, answer, err := ask(t, c, "a client=1"); err != nil || answer.GetImmediateResponse().GetStatus().GetCode() != 429 {
		t.Errorf("the second: %v, %v; want 429", answer, err)
	}
	if _, _, err := ask(t, c, "nonsense"); status.Code(err) != codes.InvalidArgument {
		t.Errorf("without limits: %v", err)
	}
	if err := stream.Send(&extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseTrailers{ResponseTrailers: &extprocv3.HttpTrailers{}}}); err != nil {
		t.Fatal(err)
	}
	if answer, err := stream.Recv(); err != nil || answer == nil {
		t.Errorf("trailers: %v, %v", answer, err)
	}
	l.End()
	l.End()
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after End: %v, want the end of the stream", err)
	}
}
