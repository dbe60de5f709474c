package xds

import (
	"context"
	"testing"
	"time"

	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
)

// TestWaitServing: an answer of one proxy with listeners is enough, and that of an authorizer is none.
func TestWaitServing(t *testing.T) {
	s := New(Options{})
	s.orderWait = 10 * time.Millisecond
	path, _ := serve(t, s)
	waits := func(rev Revision) error {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		return s.WaitServing(ctx, rev)
	}
	rev := s.Publish(world(t, 1, "a"))
	authorizer := connect(t, path)
	authorizer.ask("authorizer", resource.SecretType, "users")
	authorizer.ack(authorizer.next())
	ctx, cancel := context.WithTimeout(t.Context(), testWaitMax)
	defer cancel()
	if err := s.Wait(ctx, rev); err != nil {
		t.Fatal(err)
	}
	if waits(rev) == nil {
		t.Error("an authorizer counts as a proxy that serves")
	}
	proxy := connect(t, path)
	proxy.ask("proxy", resource.ListenerType)
	answer := proxy.next()
	if waits(rev) == nil {
		t.Error("what was sent counts as answered")
	}
	proxy.ack(answer)
	if err := s.WaitServing(ctx, rev); err != nil {
		t.Error(err)
	}
	silent := connect(t, path)
	silent.ask("silent", resource.ListenerType)
	silent.next()
	if err := s.WaitServing(ctx, rev); err != nil {
		t.Errorf("a proxy that does not answer holds the others up: %v", err)
	}
}
