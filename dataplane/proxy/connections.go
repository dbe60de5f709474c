package proxy

import (
	"net"
	"sync"
)

// A heldConn has one of the proxy's places for clients' connections, and gives it back when it is closed.
type heldConn struct {
	net.Conn
	release func()
}

// Close gives the place back, once.
func (c *heldConn) Close() error {
	c.release()
	return c.Conn.Close()
}

// CloseWrite is what net/http asks of a socket, so that a client reads the last answer before the connection is gone.
func (c *heldConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// hold gives a connection a place. Where there is none it closes the connection and returns nil, as Envoy does with
// global_downstream_max_connections.
func (p *Proxy) hold(conn net.Conn) net.Conn {
	if p.connections.Add(1) > int64(p.options.ConnectionsMax) {
		p.connections.Add(-1)
		_ = conn.Close()
		return nil
	}
	return &heldConn{conn, sync.OnceFunc(func() { p.connections.Add(-1) })}
}
