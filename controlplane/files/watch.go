package files

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/postern-gateway/postern/translator/source"
)

const (
	// settleTime is how long a file must stand still for us to believe what costs objects: that it shrank, became
	// empty, does not parse, or is gone. Editors write in several steps; this is longer than they take between two.
	settleTime = 50 * time.Millisecond
	// rescanInterval is how often all files are looked at without any event. It is the net under file systems that
	// tell of no changes, such as NFS, and under symbolic links far away.
	rescanInterval = 2 * time.Second
	// scanPassesMax bounds how often one scan looks at the files until they stand still; then the next event, or the
	// rescan, brings what is missing.
	scanPassesMax = 5
)

// Change is a new World.
type Change struct {
	World source.World
	// Files are the files, or unreadable folders, whose objects or diagnostics changed, sorted.
	Files []string
	// At is when the first event that led to the change came in.
	At time.Time
}

// clock is the time; tests drive it.
type clock interface {
	now() time.Time
	// after gives a channel that receives once the duration is over, and a function that ends the wait.
	after(d time.Duration) (<-chan time.Time, func())
}

type systemClock struct{}

func (systemClock) now() time.Time { return time.Now() }

func (systemClock) after(d time.Duration) (<-chan time.Time, func()) {
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}

// Watch follows the files until ctx ends, and calls changed with each new World, one call at a time; what changes
// during a call comes with the next. It may run once at a time.
//
// An edit counts at once where the file parses and did not become smaller. A file that shrank, became empty, does not
// parse or is gone counts as such once it has stood still for 50 ms. A file that does not parse, or cannot be read,
// keeps its objects, and a diagnostic says so; other files stay live.
func (s *State) Watch(ctx context.Context, changed func(Change)) {
	w := &watch{state: s, watched: map[string]bool{}, warned: map[string]bool{}}
	mail := newInbox(s.clock)
	if notifier, err := fsnotify.NewWatcher(); err != nil {
		s.log.Warn("cannot watch files; looking at them again and again instead",
			slog.Duration("interval", rescanInterval), slog.Any("error", err))
	} else {
		w.notifier = notifier
		done := make(chan struct{})
		go func() {
			defer close(done)
			mail.fill(notifier)
		}()
		defer func() {
			if err := notifier.Close(); err != nil {
				s.log.Warn("cannot stop watching files", slog.Any("error", err))
			}
			<-done
		}()
	}
	w.run(ctx, mail, changed)
}

// watch is the state of one Watch; all of it belongs to its goroutine.
type watch struct {
	state *State
	// notifier is nil where the system gives none.
	notifier *fsnotify.Watcher
	// watched are the folders that notifier has.
	watched map[string]bool
	// warned are the folders that it would not take.
	warned  map[string]bool
	listing listing
	// changed are the files of the Change to come; at is its time.
	changed map[string]bool
	at      time.Time
}

func (w *watch) run(ctx context.Context, mail *inbox, changed func(Change)) {
	now := w.state.clock.now()
	w.changed = map[string]bool{}
	w.scan(now)
	rescan := now.Add(rescanInterval)
	for {
		w.deliver(changed)
		next := rescan
		if due, ok := w.state.nextSettled(); ok && due.Before(next) {
			next = due
		}
		timer, stop := w.state.clock.after(next.Sub(w.state.clock.now()))
		select {
		case <-ctx.Done():
			stop()
			return
		case <-mail.wake:
		case <-timer:
		}
		stop()
		events := mail.take()
		now := w.state.clock.now()
		w.sort(events)
		w.judgeSettled(now)
		if !now.Before(rescan) {
			w.scan(now)
			rescan = now.Add(rescanInterval)
		}
	}
}

func (w *watch) deliver(changed func(Change)) {
	if len(w.changed) == 0 {
		return
	}
	change := Change{
		World: w.state.publish(),
		Files: slices.Sorted(maps.Keys(w.changed)),
		At:    w.at,
	}
	clear(w.changed)
	changed(change)
}

func (w *watch) note(name string, at time.Time) {
	if len(w.changed) == 0 || at.Before(w.at) {
		w.at = at
	}
	w.changed[name] = true
}

// judge looks at one file, and says whether it changed what is served or told.
func (w *watch) judge(file string, seen time.Time) bool {
	changed, at := w.state.judge(file, seen)
	if changed {
		w.note(file, at)
	}
	return changed
}

// judgeSettled looks again at the files that had to stand still until now.
func (w *watch) judgeSettled(now time.Time) {
	for _, file := range slices.Sorted(maps.Keys(w.state.waiting)) {
		if waits := w.state.waiting[file]; now.Sub(waits.since) >= settleTime {
			w.judge(file, waits.seen)
		}
	}
}

// sort finds out which files the events are about. One about a folder or a link makes it a scan of everything.
func (w *watch) sort(events mailbag) {
	all := events.overflow
	seen := events.first
	var files []string
	for name := range events.names {
		switch w.about(name) {
		case aboutFile:
			files = append(files, name)
		case aboutAll:
			all = true
		}
	}
	slices.Sort(files)
	for _, file := range files {
		w.judge(file, events.names[file])
	}
	if all {
		w.scan(seen)
	}
}

type about int

const (
	aboutNothing about = iota
	aboutFile
	aboutAll
)

// about says what an event of a name is about.
func (w *watch) about(name string) about {
	base := filepath.Base(name)
	switch {
	case w.watched[name], w.listing.targets[name]:
		return aboutAll
	case w.state.entries[name] != nil:
		if w.isBehindLink(name) {
			return aboutAll // What the link leads to must be watched too, and other files may come by it.
		}
		return aboutFile
	case slices.Contains(w.state.paths, name):
		return aboutAll
	case strings.HasPrefix(base, ".."):
		return aboutAll // The link that Kubernetes swaps to change all files of a mounted ConfigMap is ..data.
	case isHidden(base) || !w.listing.folders[filepath.Dir(name)]:
		return aboutNothing
	}
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return aboutNothing
	case info.IsDir():
		return aboutAll
	case isManifest(base):
		return aboutFile
	}
	return aboutNothing
}

// isBehindLink says whether a file, or a folder between it and the path that it was found by, is a symbolic link.
func (w *watch) isBehindLink(file string) bool {
	for path := file; ; path = filepath.Dir(path) {
		if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return true
		}
		if slices.Contains(w.state.paths, path) || path == filepath.Dir(path) {
			return false
		}
	}
}

// scan looks at everything. seen is when the event came in that led to it.
func (w *watch) scan(seen time.Time) {
	s := w.state
	entered := map[string]bool{}
	w.listing = list(s.paths, func(folder string) {
		// Watching before listing, or a file that comes in between would be seen by neither.
		entered[folder] = true
		w.add(folder)
	})
	for _, path := range s.paths {
		entered[filepath.Dir(path)] = true
		w.add(filepath.Dir(path))
	}
	for target := range w.listing.targets {
		entered[filepath.Dir(target)] = true
		w.add(filepath.Dir(target))
	}
	w.forget(entered)
	known := slices.Collect(maps.Keys(s.entries))
	files := slices.Compact(slices.Sorted(slices.Values(append(known, w.listing.files...))))
	for range scanPassesMax {
		if !w.pass(files, seen) {
			break
		}
	}
	w.noteFaults(seen)
}

// pass looks at files once, and says whether one had changed. A link that is swapped during a pass, as that of a mounted
// ConfigMap, shows some files as they were and some as they are; a pass that finds nothing changed has seen one state.
func (w *watch) pass(files []string, seen time.Time) bool {
	s := w.state
	found := false
	for _, file := range files {
		e := s.entries[file]
		if w.isBelowUnreadable(file) || e != nil && s.waiting[file] == nil && (e.fixed || e.isUnchanged(file)) {
			continue
		}
		if w.judge(file, seen) {
			found = true
		}
	}
	return found
}

func (w *watch) isBelowUnreadable(file string) bool {
	for folder := range w.listing.unreadable {
		if file != folder && isBelow(file, folder) {
			return true
		}
	}
	return false
}

func isBelow(file, folder string) bool {
	rel, err := filepath.Rel(folder, file)
	return err == nil && filepath.IsLocal(rel)
}

// noteFaults takes over which folders cannot be read. What is a file has a fault in its entry.
func (w *watch) noteFaults(seen time.Time) {
	s := w.state
	faults := map[string]error{}
	for path, err := range w.listing.unreadable {
		if s.entries[path] == nil {
			faults[path] = err
		}
	}
	for path, err := range faults {
		if old := s.faults[path]; old == nil || old.Error() != err.Error() {
			w.note(path, seen)
		}
	}
	for path := range s.faults {
		if faults[path] == nil {
			w.note(path, seen)
		}
	}
	s.faults = faults
}

// add watches a folder. It is done again with each scan, as the folder may be another one of the same name by now.
func (w *watch) add(folder string) {
	if w.notifier == nil {
		return
	}
	err := w.notifier.Add(folder)
	if err == nil {
		w.watched[folder] = true
		return
	}
	if !errors.Is(err, fs.ErrNotExist) && !w.warned[folder] {
		w.warned[folder] = true
		w.state.log.Warn("cannot watch the folder; looking at it again and again instead",
			slog.String("folder", folder), slog.Duration("interval", rescanInterval), slog.Any("error", err))
	}
}

// forget stops watching all folders but these.
func (w *watch) forget(keep map[string]bool) {
	for folder := range w.watched {
		if keep[folder] {
			continue
		}
		delete(w.watched, folder)
		if err := w.notifier.Remove(folder); err != nil {
			// The system did so by itself when the folder went away.
			w.state.log.Debug("folder is no longer watched", slog.String("folder", folder), slog.Any("error", err))
		}
	}
}
