package files

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must come at once; it is reached only where a test fails.
const patience = 20 * time.Second

// manualClock stands still until it is moved, so no scan comes to the help of a missed event.
type manualClock struct {
	mu     sync.Mutex
	time   time.Time
	timers map[chan time.Time]time.Time
	// armed receives what each timer was set to.
	armed chan time.Duration
}

func newManualClock() *manualClock {
	return &manualClock{time: time.Now(), timers: map[chan time.Time]time.Time{}, armed: make(chan time.Duration, 10_000)}
}

func (c *manualClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.time
}

func (c *manualClock) after(d time.Duration) (<-chan time.Time, func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	timer := make(chan time.Time, 1)
	if d <= 0 {
		timer <- c.time
	} else {
		c.timers[timer] = c.time.Add(d)
	}
	c.armed <- d
	return timer, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.timers, timer)
	}
}

func (c *manualClock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.time = c.time.Add(d)
	for timer, due := range c.timers {
		if !c.time.Before(due) {
			timer <- c.time
			delete(c.timers, timer)
		}
	}
}

// watched is a State under Watch.
type watched struct {
	t       *testing.T
	state   *State
	clock   *manualClock
	changes chan Change
}

func watchPaths(t *testing.T, paths ...string) *watched {
	t.Helper()
	return startWatch(t, read(t, paths...), (*State).Watch)
}

func startWatch(t *testing.T, s *State, run func(*State, context.Context, func(Change))) *watched {
	t.Helper()
	w := &watched{t: t, state: s, clock: newManualClock(), changes: make(chan Change, 1000)}
	s.clock = w.clock
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(s, ctx, func(c Change) { w.changes <- c })
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	<-w.clock.armed // The first scan is over.
	return w
}

// want waits for the next change, which must be this one.
func (w *watched) want(values_, files string) Change {
	w.t.Helper()
	select {
	case c := <-w.changes:
		if got := values(c.World); got != values_ {
			w.t.Fatalf("got the change %s, want %s\n%s", got, values_, diagnosticsText(c.World))
		}
		if got := strings.Join(c.Files, " "); got != files {
			w.t.Fatalf("got the changed files %s, want %s", got, files)
		}
		return c
	case <-time.After(patience):
		w.t.Fatalf("no change; want %s", values_)
		return Change{}
	}
}

// settling waits until a file has to stand still.
func (w *watched) settling() {
	w.t.Helper()
	for {
		select {
		case d := <-w.clock.armed:
			if d <= settleTime {
				return
			}
		case <-time.After(patience):
			w.t.Fatal("nothing has to stand still")
		}
	}
}

// wantSettled lets files stand still until the next change, which must be this one.
func (w *watched) wantSettled(values_, files string) Change {
	w.t.Helper()
	for {
		select {
		case d := <-w.clock.armed:
			if d <= settleTime {
				w.clock.move(d)
			}
			continue
		case c := <-w.changes:
			w.changes <- c
		case <-time.After(patience):
		}
		return w.want(values_, files)
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestWatchEditsInPlaceAndByRename(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "dir/a.yaml", settings("a", "1"))
	write(t, "dir/b.yaml", settings("b", "1"))
	w := watchPaths(t, "dir")
	before := w.clock.now()
	write(t, "dir/.a.tmp", settings("a", "2"))
	must(t, os.Rename("dir/.a.tmp", "dir/a.yaml"))
	if c := w.want("a=2 b=1", "dir/a.yaml"); !c.At.Equal(before) {
		t.Errorf("the change is of %v, want %v", c.At, before)
	}
	f, err := os.OpenFile("dir/b.yaml", os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	_, err = f.WriteString("---\n" + settings("c", "1"))
	must(t, err, f.Close())
	w.want("a=2 b=1 c=1", "dir/b.yaml")
	if got := values(w.state.World()); got != "a=2 b=1 c=1" {
		t.Errorf("the state has %s", got)
	}
}

func TestWatchTruncateThenRewriteNeverServesTheGap(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "a.yaml", settings("a", "long value"))
	w := watchPaths(t, "a.yaml")

	must(t, os.Truncate("a.yaml", 0))
	w.settling()
	write(t, "a.yaml", settings("a", "an even longer value"))
	w.want("a=an even longer value", "a.yaml")

	// A shorter content counts only once it stands still.
	must(t, os.Truncate("a.yaml", 0))
	w.settling()
	write(t, "a.yaml", settings("a", "2"))
	w.wantSettled("a=2", "a.yaml")
}

func TestWatchEmptying(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "dir/a.yaml", settings("a", "1"))
	write(t, "dir/b.yaml", settings("b", "1"))
	w := watchPaths(t, "dir")
	before := w.clock.now()
	must(t, os.Truncate("dir/a.yaml", 0))
	w.settling()
	write(t, "dir/b.yaml", settings("b", "2 and longer"))
	w.want("a=1 b=2 and longer", "dir/b.yaml")
	w.clock.move(settleTime)
	if c := w.want("b=2 and longer", "dir/a.yaml"); !c.At.Equal(before) {
		t.Errorf("the change is of %v, want the time of the event %v", c.At, before)
	}
}

func TestWatchBrokenFileKeepsItsObjects(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "dir/a.yaml", settings("a", "1"))
	write(t, "dir/b.yaml", settings("b", "1"))
	w := watchPaths(t, "dir")
	write(t, "dir/a.yaml", settings("a", "2")+"---\nmore: 1\nbroken\n")
	c := w.wantSettled("a=1 b=1 P1004", "dir/a.yaml")
	if got, want := c.World.Diagnostics[0].String(), "dir/a.yaml:7: error P1004: File dir/a.yaml: there is no ':' after the key\n"+
		"    effect: the object that the file held before stays served"; !strings.HasPrefix(got, want) {
		t.Errorf("got %s\nwant %s", got, want)
	}
	// The other file is live, with the diagnostic still there.
	write(t, "dir/b.yaml", settings("b", "2"))
	w.want("a=1 b=2 P1004", "dir/b.yaml")
	// It is repaired, without waiting for anything.
	write(t, "dir/a.yaml", settings("a", "3 and longer than all before"))
	w.want("a=3 and longer than all before b=2", "dir/a.yaml")
}

func TestWatchHalfWrittenFileIsNotReported(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "dir/a.yaml", settings("a", "1"))
	w := watchPaths(t, "dir")
	f, err := os.Create("dir/b.yaml")
	must(t, err)
	_, err = f.WriteString("apiVersion: v1\nkind: ConfigMap\nmeta")
	must(t, err)
	w.settling()
	_, err = f.WriteString("data: {name: b}\ndata: {value: ok}\n")
	must(t, err, f.Close())
	w.want("a=1 b=ok", "dir/b.yaml")
}

func TestWatchDelete(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "dir/a.yaml", settings("a", "1"))
	write(t, "dir/b.yaml", settings("b", "1"))
	w := watchPaths(t, "dir")
	must(t, os.Remove("dir/a.yaml"))
	w.wantSettled("b=1", "dir/a.yaml")
	// Some editors move the old file away and write a new one; the objects never go.
	must(t, os.Rename("dir/b.yaml", "dir/b.yaml~"))
	w.settling()
	write(t, "dir/b.yaml", settings("b", "2"))
	w.want("b=2", "dir/b.yaml")
}

func TestWatchNewFilesAndFolders(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "dir/a.yaml", settings("a", "1"))
	w := watchPaths(t, "dir")
	write(t, "dir/.hidden.yaml", settings("hidden", "1"))
	write(t, "dir/notes.txt", settings("notes", "1"))
	write(t, ".new.yaml", settings("b", "1"))
	must(t, os.Rename(".new.yaml", "dir/b.yaml"))
	w.want("a=1 b=1", "dir/b.yaml")
	write(t, "elsewhere/deep/c.yaml", settings("c", "1"))
	must(t, os.Rename("elsewhere", "dir/sub"))
	w.want("a=1 b=1 c=1", "dir/sub/deep/c.yaml")
	// The new folder is watched, too.
	write(t, "dir/sub/deep/c.yaml", settings("c", "2"))
	w.want("a=1 b=1 c=2", "dir/sub/deep/c.yaml")
}

func TestWatchSameContentIsNoChange(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "dir/a.yaml", settings("a", "1"))
	write(t, "dir/b.yaml", settings("b", "1"))
	w := watchPaths(t, "dir")
	write(t, "dir/a.yaml", settings("a", "1"))
	must(t, os.Chtimes("dir/a.yaml", time.Time{}, time.Now().Add(time.Hour)))
	write(t, "dir/b.yaml", settings("b", "2"))
	w.want("a=1 b=2", "dir/b.yaml")
}

// A mounted ConfigMap is links to a link to a folder; an update swaps the link in the middle.
func TestWatchConfigMapMount(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "mount/..one/a.yaml", settings("a", "1"))
	write(t, "mount/..one/sub/b.yaml", settings("b", "1"))
	must(t, os.Symlink("..one", "mount/..data"), os.Symlink("..data/a.yaml", "mount/a.yaml"), os.Symlink("..data/sub", "mount/sub"))
	for _, path := range []string{"mount", "mount/a.yaml"} {
		t.Run(path, func(t *testing.T) {
			w := watchPaths(t, path)
			swap := func(to, value string) {
				t.Helper()
				write(t, "mount/.."+to+"/a.yaml", settings("a", value))
				write(t, "mount/.."+to+"/sub/b.yaml", settings("b", value))
				must(t, os.Symlink(".."+to, "mount/..data_tmp"), os.Rename("mount/..data_tmp", "mount/..data"))
			}
			swap("two", "2")
			if path == "mount" {
				w.want("a=2 b=2", "mount/a.yaml mount/sub/b.yaml")
			} else {
				w.want("a=2", "mount/a.yaml")
			}
			swap("one", "1")
			if path == "mount" {
				w.want("a=1 b=1", "mount/a.yaml mount/sub/b.yaml")
			} else {
				w.want("a=1", "mount/a.yaml")
			}
		})
	}
}

func TestWatchTargetOfALink(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "one/real.yaml", settings("a", "1"))
	write(t, "two/real.yaml", settings("a", "2"))
	must(t, os.Mkdir("dir", 0o755), os.Symlink("../one/real.yaml", "dir/a.yaml"))
	w := watchPaths(t, "dir/a.yaml")
	write(t, "one/real.yaml", settings("a", "3"))
	w.want("a=3", "dir/a.yaml")
	must(t, os.Symlink("../two/real.yaml", "dir/new"), os.Rename("dir/new", "dir/a.yaml"))
	w.want("a=2", "dir/a.yaml")
	write(t, "two/real.yaml", settings("a", "4"))
	w.want("a=4", "dir/a.yaml")
}

func TestWatchFolderThatGoes(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "dir/a.yaml", settings("a", "1"))
	write(t, "dir/sub/b.yaml", settings("b", "1"))
	w := watchPaths(t, "dir")
	must(t, os.Rename("dir/sub", "elsewhere"))
	w.wantSettled("a=1", "dir/sub/b.yaml")
	must(t, os.RemoveAll("dir"))
	w.wantSettled("", "dir/a.yaml")
	// The path itself comes back, and is watched again.
	must(t, os.Rename("elsewhere", "dir"))
	w.want("b=1", "dir/b.yaml")
	write(t, "dir/b.yaml", settings("b", "2"))
	w.want("b=2", "dir/b.yaml")
}

// A folder that exists and cannot be read keeps its objects. A link to itself stands for all reasons, as tests that
// run as root cannot take away permissions.
func TestWatchUnreadableFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "real/a.yaml", settings("a", "1"))
	must(t, os.Symlink("real", "dir"))
	w := watchPaths(t, "dir")
	must(t, os.Symlink("dir", "new"), os.Rename("new", "dir"))
	c := w.want("a=1 P1004", "dir")
	if got := c.World.Diagnostics[0].String(); !strings.HasPrefix(got, "dir: error P1004: Folder dir: it cannot be read: too many levels of symbolic links") {
		t.Errorf("got %s", got)
	}
	must(t, os.Symlink("real", "new"), os.Rename("new", "dir"))
	w.want("a=1", "dir")
	write(t, "dir/a.yaml", settings("a", "2"))
	w.want("a=2", "dir/a.yaml")
}

func TestWatchUnreadableFile(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "dir/a.yaml", settings("a", "1"))
	w := watchPaths(t, "dir")
	must(t, os.Symlink("nowhere", "dir/new"), os.Rename("dir/new", "dir/a.yaml"))
	w.wantSettled("a=1 P1004", "dir/a.yaml")
	must(t, os.Remove("dir/a.yaml"))
	w.wantSettled("", "dir/a.yaml")
}

func TestWatchWithoutEventsRescans(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "dir/a.yaml", settings("a", "1"))
	w := startWatch(t, read(t, "dir"), func(s *State, ctx context.Context, changed func(Change)) {
		(&watch{state: s, watched: map[string]bool{}, warned: map[string]bool{}}).run(ctx, newInbox(s.clock), changed)
	})
	write(t, "dir/a.yaml", settings("a", "2"))
	w.clock.move(rescanInterval)
	w.want("a=2", "dir/a.yaml")
	write(t, "dir/b.yaml", settings("b", "1"))
	<-w.clock.armed
	w.clock.move(rescanInterval)
	w.want("a=2 b=1", "dir/b.yaml")
}

// What happens between Read and Watch, and during a call, is not lost.
func TestWatchMissesNothing(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "dir/a.yaml", settings("a", "1"))
	s := read(t, "dir")
	write(t, "dir/a.yaml", settings("a", "2"))
	entered, leave := make(chan string), make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Watch(ctx, func(c Change) {
			entered <- values(c.World)
			<-leave
		})
	}()
	if got := <-entered; got != "a=2" {
		t.Errorf("got %s", got)
	}
	for _, value := range []string{"3", "4", "5"} {
		write(t, "dir/a.yaml", settings("a", value))
		write(t, "dir/b.yaml", settings("b", value))
	}
	leave <- struct{}{}
	got := <-entered
	for ; got != "a=5 b=5"; got = <-entered {
		if strings.ContainsAny(got, "34") { // The last events may come in two batches.
			t.Errorf("got %s, want only the latest", got)
		}
		leave <- struct{}{}
	}
	cancel()
	leave <- struct{}{}
	<-done
}

func TestWatchManyFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	must(t, os.Mkdir("dir", 0o755))
	w := watchPaths(t, "dir")
	const count = 200
	for i := range count {
		name := strings.Repeat("x", i+1)
		write(t, filepath.Join("staged", name+".yaml"), settings("a"+name, "1"))
	}
	must(t, os.Rename("staged", "dir/staged"))
	select {
	case c := <-w.changes:
		if len(c.World.ConfigMaps) != count || len(c.Files) != count {
			t.Errorf("got %d objects of %d files", len(c.World.ConfigMaps), len(c.Files))
		}
	case <-time.After(patience):
		t.Fatal("no change")
	}
}
