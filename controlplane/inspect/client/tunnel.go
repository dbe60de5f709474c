package client

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
)

// Tunnel is a way to a server that begins on this machine.
type Tunnel struct {
	// Begin is a loopback address.
	Begin netip.AddrPort
	// Server names what is at its end, for messages.
	Server string
	// Login is the credential, nil for none; --server-auth goes before it.
	Login *Login
	// Broken says why the tunnel no longer leads there, nil while it does.
	Broken func() error
}

// Login is a user's name and password. It prints neither.
type Login struct {
	// Origin says where it is from, for messages.
	Origin         string
	User, Password string
}

// String names where it is from.
func (l Login) String() string { return "the credential of " + l.Origin }

// GoString is String.
func (l Login) GoString() string { return l.String() }

// CheckTunnel says what is wrong with the flags where a server is asked through a tunnel.
func (f *Flags) CheckTunnel() error {
	switch {
	case f.Given():
		return errors.New("--server and --live are given: name one live server")
	case f.ca != "":
		return errors.New("--server-ca is for --server, which is missing")
	}
	return nil
}

// HasCredential says whether a file of a credential is named, so that no other is needed.
func (f *Flags) HasCredential() bool { return f.auth != "" }

// Through is the client of the server at a tunnel's end.
func (f *Flags) Through(t Tunnel) (*Client, error) {
	c := &Client{base: url.URL{Scheme: "http", Host: t.Begin.String()}, answerMax: answerMax, tunnel: &t}
	switch {
	case f.auth != "":
		var err error
		if c.authorization, err = readCredential(f.auth, &c.base); err != nil {
			return nil, fmt.Errorf("--server-auth %s: %w", f.auth, err)
		}
	case t.Login != nil:
		c.authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(t.Login.User+":"+t.Login.Password))
		c.credential = t.Login.String()
	}
	transport := newTransport(nil)
	// What is on this machine is behind no proxy, and a connection that is kept would outlive the tunnel.
	transport.Proxy, transport.DisableKeepAlives = nil, true
	c.http = &http.Client{Transport: transport, CheckRedirect: noRedirect}
	return c, nil
}

// broken is why a tunnel does not lead to the server, where that is so.
func (c *Client) broken() error {
	if c.tunnel == nil || c.tunnel.Broken == nil {
		return nil
	}
	if err := c.tunnel.Broken(); err != nil {
		return fmt.Errorf("%s: %w", c, err)
	}
	return nil
}
