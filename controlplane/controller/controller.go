package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/postern-gateway/postern/controlplane/names"
	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/model"
)

// Config is what a Controller works with.
type Config struct {
	Source   Source
	Settings translator.Settings
	// Names keeps names outside of the cluster resolved.
	Names *names.Resolver
	// Own gives this machine's addresses, to which no such name may lead; nil for none.
	Own func() ([]netip.Addr, error)
	// XDS are the server's options. Its OnNACK, which may be nil, is called beside the controller's own.
	XDS xds.Options
	// Serve answers proxies until ctx ends. It is called once the first snapshot is served.
	Serve func(context.Context, *xds.Server) error
	// Log may be nil.
	Log *slog.Logger
}

// Controller keeps the proxies at what a Source says.
type Controller struct {
	config Config
	log    *slog.Logger
	server *xds.Server
	inbox  inbox
	// observers are written before Run only.
	observers []Observer

	mu sync.Mutex
	// notReady, and busy, since when the loop has been at work, zero where it waits, are guarded by mu.
	notReady error
	busy     time.Time
}

// stuckAfter is how long the loop may be at one piece of work. Ten thousand Ingresses take seconds.
const stuckAfter = 5 * time.Minute

// Live is why the process had better be started anew, nil where it need not.
func (c *Controller) Live() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.busy.IsZero() && time.Since(c.busy) > stuckAfter {
		return fmt.Errorf("the controller has been at one piece of work for more than %s", stuckAfter)
	}
	return nil
}

func (c *Controller) setBusy(since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = since
}

// Observe has observers told from now on, in this order. It is called before Run.
func (c *Controller) Observe(observers ...Observer) { c.observers = append(c.observers, observers...) }

// errStarting is why a controller is not ready before it has looked at its source.
var errStarting = errors.New("the cluster's objects are not all listed yet")

// New makes a controller, which does nothing until Run.
func New(c Config) *Controller {
	out := &Controller{config: c, log: c.Log, inbox: inbox{wake: make(chan struct{}, 1)}, notReady: errStarting}
	if out.log == nil {
		out.log = slog.New(slog.DiscardHandler)
	}
	options := c.XDS
	also := options.OnNACK
	options.OnNACK = func(node string, nack xds.NACK) {
		if also != nil {
			also(node, nack)
		}
		out.refused(node, nack)
	}
	out.server = xds.New(options)
	return out
}

// Server is what proxies are served by; nothing is published in it before the first snapshot.
func (c *Controller) Server() *xds.Server { return c.server }

// Ready is why nothing is served yet, nil where a snapshot is.
func (c *Controller) Ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.notReady
}

func (c *Controller) setReady(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notReady = why
}

// SetCertificate has another default certificate served from now on.
func (c *Controller) SetCertificate(certificate *model.Certificate) {
	c.inbox.put(func(m *mail) { m.certificate = certificate })
}

// refused has a NACK told and looked into.
func (c *Controller) refused(node string, nack xds.NACK) {
	for _, o := range c.observers {
		o.Refused(node, nack)
	}
	c.inbox.put(func(m *mail) { m.refusals = append(m.refusals[max(0, len(m.refusals)+1-refusalsMax):], nack) })
}

// Run serves until ctx ends, which is no error.
func (c *Controller) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	first := make(chan struct{})
	group.Go(func() error { return c.config.Source.Run(ctx) })
	group.Go(func() error {
		c.config.Names.Run(ctx, c.answered)
		return nil
	})
	group.Go(func() error {
		newLoop(c, first).run(ctx)
		return nil
	})
	group.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-first:
			return c.config.Serve(ctx, c.server)
		}
	})
	return group.Wait()
}
