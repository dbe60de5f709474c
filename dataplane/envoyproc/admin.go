package envoyproc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// adminAnswerMax bounds, in bytes, what is read of an admin answer.
const adminAnswerMax = 64 << 20

// Stats are Envoy's counters and gauges by name, as its admin's /stats has them. Histograms and texts are left out.
func (c Config) Stats(ctx context.Context) (map[string]uint64, error) {
	text, err := c.admin(ctx, "/stats")
	if err != nil {
		return nil, err
	}
	out := map[string]uint64{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if n, err := strconv.ParseUint(value, 10, 64); ok && err == nil {
			out[name] = n
		}
	}
	return out, nil
}

// Prometheus are Envoy's statistics in the text form of Prometheus.
func (c Config) Prometheus(ctx context.Context) (string, error) {
	return c.admin(ctx, "/stats/prometheus")
}

// Serving is true once Envoy is live with a listener, each of which has had its routes: it is live, too, after it refused
// every listener, and a listener opens without its routes where these are 15 s late.
func (c Config) Serving(ctx context.Context) (bool, error) {
	if !c.live(ctx) {
		return false, nil
	}
	stats, err := c.Stats(ctx)
	if err != nil {
		return false, err
	}
	for name, n := range stats {
		if n == 0 && strings.HasPrefix(name, "http.") && strings.Contains(name, ".rds.") && strings.HasSuffix(name, ".update_success") {
			return false, nil
		}
	}
	return stats["listener_manager.total_listeners_active"] > 0 && stats["listener_manager.workers_started"] > 0, nil
}

// Drain has every answer end its connection (Connection: close, GOAWAY), and then no new connection be taken. Those that
// there are go on.
func (c Config) Drain(ctx context.Context) error {
	for _, path := range []string{"/drain_listeners?graceful&skip_exit", "/drain_listeners"} {
		if _, err := c.ask(ctx, http.MethodPost, path); err != nil {
			return err
		}
	}
	return nil
}

// Connections is how many connections of clients are open.
func (c Config) Connections(ctx context.Context) (uint64, error) {
	stats, err := c.Stats(ctx)
	if err != nil {
		return 0, err
	}
	var open uint64
	for name, n := range stats {
		if strings.HasPrefix(name, "listener.") && strings.HasSuffix(name, ".downstream_cx_active") &&
			!strings.HasPrefix(name, "listener.admin.") && !strings.Contains(name, ".worker_") {
			open += n
		}
	}
	return open, nil
}

// live is true when Envoy's admin says LIVE: initialized, and its listeners open.
func (c Config) live(ctx context.Context) bool {
	text, err := c.admin(ctx, "/ready")
	return err == nil && strings.TrimSpace(text) == "LIVE"
}

// admin asks the admin interface for something.
func (c Config) admin(ctx context.Context, path string) (string, error) {
	return c.ask(ctx, http.MethodGet, path)
}

// ask is one request to the admin interface, which is on a unix socket: a Service that points at the loopback address cannot
// reach it.
func (c Config) ask(ctx context.Context, method, path string) (text string, err error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.AdminSocket())
	if err != nil {
		return "", fmt.Errorf("reach Envoy's admin: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	req, err := http.NewRequestWithContext(ctx, method, "http://envoy"+path, nil)
	if err != nil {
		return "", err
	}
	req.Close = true
	if err := req.Write(conn); err != nil {
		return "", fmt.Errorf("ask Envoy's admin for %s: %w", path, err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return "", fmt.Errorf("ask Envoy's admin for %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, adminAnswerMax))
	if err != nil {
		return "", fmt.Errorf("ask Envoy's admin for %s: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("ask Envoy's admin for %s: it answers %s", path, resp.Status)
	}
	return string(body), nil
}
