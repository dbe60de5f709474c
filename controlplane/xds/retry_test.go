package xds

import (
	"testing"

	"google.golang.org/protobuf/proto"
)

// TestRefusedListenerIsSentAgainAfterItsSecret: a listener that was refused for a secret that it refers to is sent again,
// though its own bytes are the same, once that secret is another one and has been accepted; once only for each.
func TestRefusedListenerIsSentAgainAfterItsSecret(t *testing.T) {
	s := New(Options{})
	path, _ := serve(t, s)
	const named = "ca"
	listener, routes, free := guarded(t, "https", "https", named), table("https", "a"), entryPoint(t, "http")
	secretOf := func(text string) Resource {
		m := certificate(text)
		m.Name = named
		return Resource{TypeURL: sds, Name: named, Message: m}
	}
	publish := func(text string) Revision {
		return s.Publish(snapshot(t, func(string) proto.Message { return nil },
			cluster("a", 1), assignment("a", 1), listener, routes, free, table("http", "a"), secretOf(text)))
	}
	publish("bad")
	c := connect(t, path)
	c.ask("node", cds)
	c.ack(c.take("Cluster +a"))
	c.ask("", eds, "a")
	c.ack(c.take("ClusterLoadAssignment +a"))
	c.ask("", lds)
	listeners := c.take("Listener +http +https")
	c.ask("", sds, named)
	c.ack(c.take("Secret +ca"))
	c.nack(listeners, "listener https: bad ca")
	c.silent("the same secret changes nothing")
	publish("bad")
	c.silent("the same secret again changes nothing")
	publish("good")
	repaired := c.take("Secret +ca")
	c.silent("the listener waits for the secret")
	c.ack(repaired)
	again := c.take("Listener +https") // The other refers to no secret.
	c.nack(again, "listener https: still bad")
	c.silent("it was sent again once")
	publish("refused")
	c.nack(c.take("Secret +ca"), "bad")
	c.silent("a refused secret mends no listener")
	publish("better")
	c.ack(c.take("Secret +ca"))
	c.ack(c.take("Listener +https"))
	c.ask("", rds, "http", "https")
	c.ack(c.next())
	c.ack(c.next())
	publish("best")
	c.ack(c.take("Secret +ca"))
	c.silent("what is accepted is not sent again")
}

// TestRefusedListenerWithoutTheSecret: a proxy that is not subscribed to the secret is sent the listener at once.
func TestRefusedListenerWithoutTheSecret(t *testing.T) {
	s := New(Options{})
	path, _ := serve(t, s)
	secretOf := func(text string) Resource {
		m := certificate(text)
		m.Name = "ca"
		return Resource{TypeURL: sds, Name: "ca", Message: m}
	}
	listener := guarded(t, "https", "https", "ca")
	s.Publish(snapshot(t, nil, listener, table("https"), secretOf("bad")))
	c := connect(t, path)
	c.ask("node", cds)
	c.ack(c.next())
	c.ask("", lds)
	c.nack(c.take("Listener +https"), "bad ca")
	s.Publish(snapshot(t, nil, listener, table("https"), secretOf("good")))
	c.ack(c.take("Listener +https"))
}
