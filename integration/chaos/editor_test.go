package chaos

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// deletions says how seldom a host is deleted: once in so many edits.
const deletions = 12

// manner is how a site's files are written.
type manner int

const (
	// atomically replaces the file, inPlace cuts it and writes it anew, in pieces, mounted swaps a link as the kubelet does for a
	// mounted ConfigMap.
	atomically manner = iota
	inPlace
	mounted
)

// editor edits the files of sites. Its choices come from its seed alone.
type editor struct {
	t       *testing.T
	gateway *gateway
	draw    *rand.Rand
	sites   []*site
	layouts map[*site]*layout
	// deck has the indices of edits.
	deck []int
	// onlyEffects leaves out edits that mean nothing.
	onlyEffects bool
	// done counts the edits of each kind.
	done map[string]int
	// slowest is the longest that an edit took to be in force everywhere, slow what it was.
	slowest time.Duration
	slow    string
}

// layout is where the manifests of a site are.
type layout struct {
	manner manner
	// file is the file of everything, or of the Ingress alone where rest has a name.
	file, rest string
	// version counts, for names that were not used before.
	version int
	// broken is whether the file does not parse now.
	broken bool
}

// an edit changes a site's next state or the layout of its files. It says false where it does not apply.
type edit struct {
	kind string
	// ofFiles is whether it changes the files and not what they mean.
	ofFiles bool
	apply   func(e *editor, s *site, next *state) bool
}

var edits = []edit{
	{"route added", false, func(e *editor, _ *site, next *state) bool {
		p := prefixes[e.draw.IntN(len(prefixes))]
		if _, has := next.paths[p]; has {
			return false
		}
		next.paths[p] = e.draw.IntN(servicesASite)
		return true
	}},
	{"route removed", false, func(e *editor, _ *site, next *state) bool {
		p := prefixes[e.draw.IntN(len(prefixes))]
		if _, has := next.paths[p]; !has {
			return false
		}
		delete(next.paths, p)
		return true
	}},
	{"route changed", false, func(e *editor, _ *site, next *state) bool {
		p := prefixes[e.draw.IntN(len(prefixes))]
		i, has := next.paths[p]
		next.paths[p] = (i + 1) % servicesASite
		return has
	}},
	{"endpoint changed", false, func(e *editor, s *site, next *state) bool {
		i := e.draw.IntN(servicesASite)
		next.services[i] = (next.services[i] + 1) % len(s.backends)
		return true
	}},
	{"protocol of a backend changed", false, func(e *editor, _ *site, next *state) bool {
		i := e.draw.IntN(servicesASite)
		next.h2c[i] = !next.h2c[i]
		return true
	}},
	{"annotation changed", false, func(e *editor, _ *site, next *state) bool {
		before := next.annotation
		next.annotation = annotations[e.draw.IntN(len(annotations))]
		return before != next.annotation
	}},
	{"Secret changed", false, func(e *editor, s *site, next *state) bool {
		had := next.certificate.serial != ""
		next.certificate, next.named = newPair(e.t, s.host), false
		return had
	}},
	{"tls block and Secret added", false, func(e *editor, s *site, next *state) bool {
		had := next.certificate.serial != ""
		next.certificate, next.named = newPair(e.t, s.host), false
		return !had
	}},
	{"tls block and Secret removed", false, func(_ *editor, _ *site, next *state) bool {
		had := next.certificate.serial != ""
		next.certificate, next.named = pair{}, false
		return had
	}},
	{"Secret of a tls block removed", false, func(_ *editor, _ *site, next *state) bool {
		had := next.certificate.serial != ""
		next.certificate, next.named = pair{}, true
		return had
	}},
	{"file renamed", true, func(e *editor, s *site, _ *state) bool {
		l := e.layouts[s]
		if l.manner == mounted || l.broken {
			return false
		}
		before := l.file
		l.file = e.fresh(s)
		e.must(os.Rename(e.path(before), e.path(l.file)))
		return true
	}},
	{"file split in two, or joined", true, func(e *editor, s *site, _ *state) bool {
		l := e.layouts[s]
		if l.manner == mounted || l.broken {
			return false
		}
		if l.rest != "" {
			// What joins comes before what goes, so that no object is missing.
			rest := l.rest
			l.rest = ""
			e.write(s, s.latest())
			e.must(os.Remove(e.path(rest)))
			return true
		}
		l.rest = e.fresh(s)
		e.write(s, s.latest())
		return true
	}},
	{"file broken", true, func(e *editor, s *site, _ *state) bool {
		l := e.layouts[s]
		if l.manner == mounted {
			return false
		}
		l.broken = true
		e.put(l, l.file, "kind: [\n")
		return true
	}},
	{"file that is none of ours", true, func(e *editor, s *site, _ *state) bool {
		e.must(os.WriteFile(e.path("."+s.name+".yaml.swp"), []byte("kind: ["), 0o600))
		e.must(os.WriteFile(e.path(s.name+".yaml~"), []byte("kind: ["), 0o600))
		return true
	}},
	{"touched", true, func(e *editor, s *site, next *state) bool {
		e.write(s, *next)
		return !e.layouts[s].broken
	}},
}

// fresh is a name of a file that was not used before.
func (e *editor) fresh(s *site) string {
	l := e.layouts[s]
	l.version++
	return fmt.Sprintf("%s-v%d.%s", s.name, l.version, []string{"yaml", "yml"}[l.version%2])
}

func (e *editor) path(name string) string { return filepath.Join(e.gateway.manifests, name) }

func (e *editor) must(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

// write makes a site's files say a state.
func (e *editor) write(s *site, now state) {
	l := e.layouts[s]
	l.broken = false
	if !now.exists {
		if l.manner == mounted {
			e.must(os.RemoveAll(filepath.Dir(e.path(l.file))))
			return
		}
		for _, name := range []string{l.file, l.rest} {
			if name != "" {
				e.must(os.RemoveAll(e.path(name)))
			}
		}
		return
	}
	ingress, rest := now.manifests(s)
	if l.rest == "" {
		e.put(l, l.file, rest+ingress)
		return
	}
	// Where Services are in a file of their own, it comes first: an Ingress without its Service means 503.
	e.put(l, l.rest, rest)
	e.put(l, l.file, ingress+"# end\n")
}

func (e *editor) put(l *layout, name, text string) {
	path := e.path(name)
	switch l.manner {
	case atomically:
		e.must(replaceFile(path, text))
	case inPlace:
		e.must(inPieces(path, text))
	case mounted:
		// The layout of a mounted ConfigMap: FILE → ..data/FILE, ..data → ..vN.
		l.version++
		folder, version := filepath.Dir(path), fmt.Sprintf("..v%d", l.version)
		e.must(os.MkdirAll(filepath.Join(folder, version), 0o700))
		e.must(os.WriteFile(filepath.Join(folder, version, filepath.Base(path)), []byte(text), 0o600))
		e.must(os.Symlink(version, filepath.Join(folder, "..next")))
		e.must(os.Rename(filepath.Join(folder, "..next"), filepath.Join(folder, "..data")))
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			e.must(os.Symlink(filepath.Join("..data", filepath.Base(path)), path))
		}
		if l.version > 1 {
			e.must(os.RemoveAll(filepath.Join(folder, fmt.Sprintf("..v%d", l.version-1))))
		}
	}
}

// pieceBytes is how much is written at once where a file is written in place, as by a program with a small buffer.
const pieceBytes = 256

func inPieces(path, text string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	for piece := range slices.Chunk([]byte(text), pieceBytes) {
		if _, err := f.Write(piece); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}

// edit draws an edit of a site, makes it and says which kind it is. A site that is not there is created; now and then one
// is deleted.
func (e *editor) edit(s *site) string {
	now := s.latest()
	next, kind := now.clone(), ""
	switch {
	case !now.exists:
		next, kind = e.first(s), "host created"
	case e.layouts[s].broken:
		// What is served is what the file held; mending it brings what it says now, a route more or less.
		kind = "file mended"
		if _, has := next.paths["/c"]; has {
			delete(next.paths, "/c")
		} else {
			next.paths["/c"] = 0
		}
	case e.draw.IntN(deletions) == 0:
		next.exists, kind = false, "host deleted"
	default:
		next, kind = e.drawn(s, now)
	}
	e.done[kind]++
	if !statesEqual(now, next) { // Else it is the files that have changed.
		s.begin(next)
		e.write(s, next)
	}
	return kind
}

// drawn makes the first edit in the deck that applies, and puts it below the others: all kinds get their turn.
func (e *editor) drawn(s *site, now state) (next state, kind string) {
	for i, n := range e.deck {
		next, edit := now.clone(), edits[n]
		if edit.ofFiles && e.onlyEffects || !edit.apply(e, s, &next) {
			continue
		}
		if !edit.ofFiles && saysTheSame(s, now, next) {
			continue // An annotation of an Ingress that is not written, as one without paths: nobody would hear of it.
		}
		e.deck = append(slices.Delete(e.deck, i, i+1), n)
		return next, edit.kind
	}
	panic("no edit applies")
}

// saysTheSame says whether two states of a site make the same files.
func saysTheSame(s *site, a, b state) bool {
	ingressA, restA := a.manifests(s)
	ingressB, restB := b.manifests(s)
	return a.exists == b.exists && ingressA == ingressB && restA == restB
}

// first is the state of a site that comes to be.
func (e *editor) first(s *site) state {
	next := state{exists: true, paths: map[string]int{}}
	for _, p := range prefixes {
		if e.draw.IntN(2) == 0 {
			next.paths[p] = e.draw.IntN(servicesASite)
		}
	}
	for i := range servicesASite {
		next.services[i] = e.draw.IntN(len(s.backends))
	}
	if e.draw.IntN(2) == 0 {
		next.certificate = newPair(e.t, s.host)
	}
	return next
}

func statesEqual(a, b state) bool {
	return a.exists == b.exists && a.annotation == b.annotation && a.services == b.services && a.h2c == b.h2c &&
		a.certificate.serial == b.certificate.serial && a.named == b.named && fmt.Sprint(a.paths) == fmt.Sprint(b.paths)
}

// kinds are what was done, as text.
func (e *editor) kinds() string {
	var out []string
	for kind, n := range e.done {
		out = append(out, fmt.Sprintf("%s %d", kind, n))
	}
	slices.Sort(out)
	return fmt.Sprint(out)
}
