package inspect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/dataplane/failing"
)

const (
	// askInterval is how old what data planes said may be before they are asked again; they are asked only while somebody looks.
	askInterval = 5 * time.Second
	// askTimeout is how long one may take, askAtOnce how many are asked at once.
	askTimeout = 2 * time.Second
	askAtOnce  = 16
	// askBytesMax is the longest answer, in bytes: a thousand clusters with their reasons.
	askBytesMax = 1 << 20
)

// Asker asks the data planes of a cluster which backends failed requests lately: at the health port that each names in its
// node's metadata, at the address that its stream comes from. A data plane that does not answer is left out; the log and the
// pages say so, since what it sees fail is then shown nowhere.
type Asker struct {
	proxies func() []xds.ProxyState
	log     *slog.Logger
	client  *http.Client
	// wake has room for one.
	wake chan struct{}

	mu   sync.Mutex
	told Told      // guarded by mu
	at   time.Time // guarded by mu
}

// Told is what data planes said.
type Told struct {
	Failures []failing.Failure `json:"failures"`
	// Silent are the nodes that did not say anything when they were asked, each with why.
	Silent map[string]string `json:"silent,omitempty"`
}

// NewAsker makes an Asker for the proxies of a server; it asks nobody until Run.
func NewAsker(server *xds.Server, log *slog.Logger) *Asker {
	return &Asker{
		proxies: server.Proxies, log: log, wake: make(chan struct{}, 1),
		client: &http.Client{
			Timeout: askTimeout, Transport: &http.Transport{DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Recent is what the data planes said last. Where that is old they are asked again, which is not waited for.
func (a *Asker) Recent() Told {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Since(a.at) > askInterval {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
	return a.told
}

// Run asks when it is time to, until ctx ends. changed is called when data planes say something else than before.
func (a *Asker) Run(ctx context.Context, changed func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		}
		// Only this goroutine writes it.
		told := a.ask(ctx, a.told.Silent)
		a.mu.Lock()
		news := !reflect.DeepEqual(told, a.told)
		a.told, a.at = told, time.Now()
		a.mu.Unlock()
		if news {
			changed()
		}
	}
}

// ask has the answers of all data planes as one. The log has those that are silent and were not before.
func (a *Asker) ask(ctx context.Context, before map[string]string) Told {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(askAtOnce)
	var mu sync.Mutex
	var answers [][]failing.Failure
	silent := map[string]string{}
	for _, p := range a.proxies() {
		at, ok := healthAddress(p)
		if !ok {
			continue
		}
		group.Go(func() error {
			answer, err := a.askOne(ctx, at)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				silent[p.Node] = silence(at, err)
				if _, known := before[p.Node]; !known && ctx.Err() == nil {
					a.log.Warn("a data plane does not say what fails, so the pages do not show it", "node", p.Node, "error", err)
				}
				return nil
			}
			answers = append(answers, answer)
			return nil
		})
	}
	_ = group.Wait() // None of them fails.
	return Told{Failures: failing.Merge(answers...), Silent: silent}
}

// silence says why nothing is said, in words that are the same each time: the port that it is asked from is not.
func silence(at string, err error) string {
	var broken *net.OpError
	if errors.As(err, &broken) {
		return fmt.Sprintf("%s %s: %v", broken.Op, at, broken.Err)
	}
	return err.Error()
}

// healthAddress is where a proxy's process answers; false where it says nothing of that.
func healthAddress(p xds.ProxyState) (string, bool) {
	port := p.Client.GetMetadata().GetFields()[failing.PortKey].GetNumberValue()
	if p.Address == "" || port < 1 || port > 65535 || port != float64(uint16(port)) {
		return "", false
	}
	return net.JoinHostPort(p.Address, strconv.Itoa(int(port))), true
}

func (a *Asker) askOne(ctx context.Context, at string) ([]failing.Failure, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+failing.Path, nil)
	if err != nil {
		return nil, err
	}
	response, err := a.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", at, response.Status)
	}
	var out []failing.Failure
	if err := json.NewDecoder(io.LimitReader(response.Body, askBytesMax)).Decode(&out); err != nil {
		return nil, fmt.Errorf("read what %s says: %w", at, err)
	}
	return out, nil
}
