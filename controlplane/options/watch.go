package options

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/postern-gateway/postern/translator/model"
)

// certificateRescan finds a change that no event told of, as on some network file systems.
const certificateRescan = 2 * time.Second

// CertificateWatch reads a folder's certificate again when it changes.
type CertificateWatch struct {
	Dir string
	// Last is the certificate that is served.
	Last *model.Certificate
	// OnChange is given another certificate, OnFault why the one before stays in service; each fault once.
	OnChange func(*model.Certificate)
	OnFault  func(error)
}

// Run watches until ctx ends, which is no error. A pair that does not belong together, as between the writing of its two
// files, leaves the one before in service.
func (w CertificateWatch) Run(ctx context.Context) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", w.Dir, err)
	}
	defer watcher.Close()
	if err := watcher.Add(w.Dir); err != nil {
		return fmt.Errorf("watch %s: %w", w.Dir, err)
	}
	rescan := time.NewTicker(certificateRescan)
	defer rescan.Stop()
	told := ""
	last := w.Last
	for {
		rescanned := false
		select {
		case <-ctx.Done():
			return nil
		case <-rescan.C:
			rescanned = true
		case <-watcher.Events:
		case err := <-watcher.Errors:
			w.OnFault(fmt.Errorf("watch %s: %w", w.Dir, err))
		}
		c, err := LoadCertificate(w.Dir)
		if err != nil {
			// The two files are written one after the other: what is still wrong at a rescan is told, once.
			if told != err.Error() && rescanned {
				told = err.Error()
				w.OnFault(err)
			}
			continue
		}
		told = ""
		if last != nil && bytes.Equal(c.Chain, last.Chain) && bytes.Equal(c.Key, last.Key) {
			continue
		}
		last = c
		w.OnChange(c)
	}
}
