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

// live is true when Envoy's admin says LIVE: initialized, and its listeners open.
func (c Config) live(ctx context.Context) bool {
	text, err := c.admin(ctx, "/ready")
	return err == nil && strings.TrimSpace(text) == "LIVE"
}

// admin asks the admin interface, which is on a unix socket: a Service that points at the loopback address cannot
// reach it.
func (c Config) admin(ctx context.Context, path string) (text string, err error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.AdminSocket())
	if err != nil {
		return "", fmt.Errorf("reach Envoy's admin: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://envoy"+path, nil)
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
