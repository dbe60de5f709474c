package up

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/translator"
)

// certificateRescan finds a change that no event told of, as on some network file systems.
const certificateRescan = 2 * time.Second

// watchCertificate reads --tls-cert-dir again when it changes. A pair that does not belong together, as between the
// writing of its two files, leaves the one before in service.
func (r *runner) watchCertificate(ctx context.Context, changes chan<- change) error {
	dir := r.config.Options.TLSCertDir
	if dir == "" {
		return nil
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", dir, err)
	}
	defer watcher.Close()
	if err := watcher.Add(dir); err != nil {
		return fmt.Errorf("watch %s: %w", dir, err)
	}
	rescan := time.NewTicker(certificateRescan)
	defer rescan.Stop()
	told := ""
	last := r.settings.Resolve.DefaultCertificate
	for {
		rescanned := false
		select {
		case <-ctx.Done():
			return nil
		case <-rescan.C:
			rescanned = true
		case <-watcher.Events:
		case err := <-watcher.Errors:
			r.log.Warn("watch --tls-cert-dir", "error", err)
		}
		c, err := options.LoadCertificate(dir)
		if err != nil {
			// The two files are written one after the other: what is still wrong at a rescan is told, once.
			if told != err.Error() && rescanned {
				told = err.Error()
				r.report.say("the certificate before stays served: %v", err)
			}
			continue
		}
		told = ""
		if bytes.Equal(c.Chain, last.Chain) && bytes.Equal(c.Key, last.Key) {
			continue
		}
		last = c
		send(ctx, changes, change{what: "the certificate in " + dir, at: time.Now(), apply: func(s *translator.Settings) {
			s.Resolve.DefaultCertificate = c
		}})
	}
}
