package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/source"
)

// Options is what Read needs besides the paths.
type Options struct {
	// Stdin is read, once and to its end, where a path is "-".
	Stdin io.Reader
	// Namespace is that of objects that name none; empty is kubectl's default.
	Namespace string
	// Log takes what goes wrong with watching; nil is nowhere.
	Log *slog.Logger
}

// State is the objects of files, with the last good ones of files that do not parse now.
type State struct {
	paths     []string
	namespace string
	log       *slog.Logger
	clock     clock

	// entries and faults belong to the goroutine of Read, then to that of Watch.
	entries map[string]*entry
	// waiting are the files whose content counts only once it has stood still.
	waiting map[string]*waiting
	// faults are the folders, and paths, that cannot be read.
	faults map[string]error

	mu sync.Mutex
	// world is the latest, guarded by mu.
	world source.World
	// files are the names behind it, sorted, guarded by mu.
	files []string
}

// entry is what is known of one file.
type entry struct {
	// world is what is served of the file: its objects when it last parsed.
	world source.World
	// size is the size, in bytes, that the file had then.
	size int64
	// decided is the content that was last judged, whether it parsed or not, without its data; read is when.
	decided content
	read    time.Time
	// fault is why the file does not count as it is now; nil where it does.
	fault error
	// fixed marks standard input and pipes, which are read once.
	fixed bool
}

// waiting is a content that counts only once it has stood still.
type waiting struct {
	content content
	// since is when this content was first found, seen when the event that led to it came in.
	since, seen time.Time
}

// Read reads the manifests at paths: files of any name, folders with all *.yaml, *.yml and *.json below them except in
// hidden files and folders, and "-" for standard input. The error joins everything that does not parse, does not exist
// or cannot be read, sorted by file.
func Read(paths []string, options Options) (*State, error) {
	s := &State{
		namespace: options.Namespace, log: options.Log, clock: systemClock{},
		entries: map[string]*entry{}, waiting: map[string]*waiting{}, faults: map[string]error{},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	failed := map[string]error{}
	for _, path := range paths {
		if path == StdinPath {
			s.readOnce(StdinName, options.Stdin, failed)
			continue
		}
		path = filepath.Clean(path)
		if info, err := os.Stat(path); err == nil && !info.IsDir() && !info.Mode().IsRegular() {
			s.readPipe(path, failed)
			continue
		}
		if !slices.Contains(s.paths, path) {
			s.paths = append(s.paths, path)
		}
	}
	l := list(s.paths, func(string) {})
	for _, path := range l.missing {
		failed[path] = fmt.Errorf("read %s: %w", path, fs.ErrNotExist)
	}
	for path, err := range l.unreadable {
		failed[path] = fmt.Errorf("read %s: %w", path, err)
	}
	for _, file := range l.files {
		s.readFirst(file, failed)
	}
	if len(failed) > 0 {
		var all []error
		for _, file := range slices.Sorted(maps.Keys(failed)) {
			all = append(all, failed[file])
		}
		return nil, errors.Join(all...)
	}
	s.publish()
	return s, nil
}

func (s *State) readFirst(file string, failed map[string]error) {
	c := readContent(file)
	if c.gone {
		return // It went away after it was listed.
	}
	if c.err != nil {
		failed[file] = fmt.Errorf("read %s: %w", file, c.err)
		return
	}
	w, err := decodeIn(s.namespace, file, c.data)
	if err != nil {
		failed[file] = err
		return
	}
	s.entries[file] = &entry{world: w, size: c.info.Size(), decided: c.withoutData(), read: s.clock.now()}
}

func (c content) withoutData() content {
	c.data = nil
	return c
}

func (s *State) readPipe(path string, failed map[string]error) {
	f, err := os.Open(path)
	if err != nil {
		failed[path] = fmt.Errorf("read %s: %w", path, plainIO(err))
		return
	}
	defer f.Close()
	s.readOnce(path, f, failed)
}

func (s *State) readOnce(name string, r io.Reader, failed map[string]error) {
	if s.entries[name] != nil || failed[name] != nil {
		return
	}
	if r == nil {
		failed[name] = fmt.Errorf("read %s: there is none", name)
		return
	}
	data, err := io.ReadAll(io.LimitReader(r, fileSizeMax+1))
	if err != nil {
		failed[name] = fmt.Errorf("read %s: %w", name, err)
		return
	}
	w, err := decodeIn(s.namespace, name, data)
	if err != nil {
		failed[name] = err
		return
	}
	s.entries[name] = &entry{world: w, fixed: true}
}

// World is the latest objects of all files.
func (s *State) World() source.World {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.world
}

// Files are the names of the files that World was read from, sorted.
func (s *State) Files() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.files)
}

// publish makes the World of what the entries hold now.
func (s *State) publish() source.World {
	files := slices.Sorted(maps.Keys(s.entries))
	parts := make([]source.World, 0, len(files)+1)
	var kept []diag.D
	for _, file := range files {
		e := s.entries[file]
		parts = append(parts, e.world)
		if e.fault != nil {
			kept = append(kept, keptFile(file, e))
		}
	}
	for _, path := range slices.Sorted(maps.Keys(s.faults)) {
		kept = append(kept, diag.New(diag.CodeFileKept, diag.Origin{Kind: "Folder", Name: path, File: path},
			"it cannot be read: "+s.faults[path].Error(),
			"what was read below it before stays served", "make it readable; it is tried again all the time"))
	}
	parts = append(parts, source.World{Diagnostics: kept})
	w := Merge(parts...)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.world, s.files = w, files
	return w
}

func keptFile(file string, e *entry) diag.D {
	at := diag.Origin{Kind: "File", Name: file, File: file}
	message := e.fault.Error()
	var parseErr *ParseError
	if errors.As(e.fault, &parseErr) {
		at.Line, message = parseErr.Line, parseErr.Err.Error()
	}
	effect := "nothing of the file is served"
	if n := countObjects(e.world); n == 1 {
		effect = "the object that the file held before stays served"
	} else if n > 1 {
		effect = fmt.Sprintf("the %d objects that the file held before stay served", n)
	}
	return diag.New(diag.CodeFileKept, at, message, effect, "correct the file; it is read again as soon as it changes")
}

func countObjects(w source.World) int {
	return len(w.Ingresses) + len(w.Services) + len(w.EndpointSlices) + len(w.Endpoints) +
		len(w.Secrets) + len(w.ConfigMaps) + len(w.IngressClasses) + len(w.Namespaces) + len(w.Nodes)
}

// judge reads a file and decides what becomes of it. It returns whether the objects or diagnostics of the file changed;
// seen is when the event came in that led here.
func (s *State) judge(file string, seen time.Time) (changed bool, at time.Time) {
	now := s.clock.now()
	e := s.entries[file]
	c := readContent(file)
	if c.gone && e == nil {
		delete(s.waiting, file)
		return false, seen
	}
	if e == nil {
		e = &entry{decided: content{gone: true}}
	}
	if !c.moved && e.decided.tells(c) {
		e.decided, e.read = c.withoutData(), now
		delete(s.waiting, file)
		return false, seen
	}
	var w source.World
	fault := c.err
	if fault == nil && !c.gone {
		w, fault = decodeIn(s.namespace, file, c.data)
	}
	if fault != nil || c.gone || c.moved || c.info.Size() == 0 || c.info.Size() < e.size {
		first, settled := s.settle(file, waiting{c.withoutData(), now, seen})
		if !settled {
			return false, seen
		}
		seen = first
	}
	delete(s.waiting, file)
	if c.gone {
		delete(s.entries, file)
		return true, seen
	}
	before := e.fault
	e.decided, e.read, e.fault = c.withoutData(), now, fault
	s.entries[file] = e
	if fault != nil {
		return before == nil || before.Error() != fault.Error(), seen
	}
	e.world, e.size = w, c.info.Size()
	return true, seen
}

// settle says whether what was found just now has stood still for settleTime, and when its first event came in.
func (s *State) settle(file string, found waiting) (first time.Time, settled bool) {
	old := s.waiting[file]
	if old == nil || found.content.moved || !old.content.same(found.content) {
		old = &found
		s.waiting[file] = old
	}
	return old.seen, found.since.Sub(old.since) >= settleTime
}

// isUnchanged says, without reading it, that a file still is what was decided on.
func (e *entry) isUnchanged(file string) bool {
	if e.decided.info == nil {
		return false
	}
	info, err := os.Stat(file)
	return err == nil && e.decided.provenBy(info, e.read)
}

// nextSettled is the earliest time at which a waiting content can count, and false where none waits.
func (s *State) nextSettled() (time.Time, bool) {
	var next time.Time
	found := false
	for _, w := range s.waiting {
		due := w.since.Add(settleTime)
		if !found || due.Before(next) {
			next, found = due, true
		}
	}
	return next, found
}
