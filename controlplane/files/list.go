package files

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

const (
	// folderDepthMax is how deep folders are followed below a path.
	folderDepthMax = 32
	// filesMax is how many manifests are read in all.
	filesMax = 50_000
)

// StdinPath is the path that means standard input; StdinName is what its objects have as their file.
const (
	StdinPath = "-"
	StdinName = "stdin"
)

// listing is what paths lead to at one moment.
type listing struct {
	// files are the manifests, sorted, each once.
	files []string
	// folders are the folders that were listed.
	folders map[string]bool
	// unreadable are paths and folders that exist and cannot be read.
	unreadable map[string]error
	// missing are paths that do not exist.
	missing []string
	// targets are where files lead in the end that are symbolic links, or are below one.
	targets map[string]bool
}

type lister struct {
	listing
	found map[string]bool
	// real are the folders, without symbolic links, that were listed, so that links in a circle end.
	real map[string]bool
	// enter is called before each folder is listed.
	enter func(folder string)
}

// list finds the manifests of paths: files as they are, folders recursively, with hidden files and folders left out.
// Symbolic links are followed: the files of a mounted ConfigMap are nothing else.
func list(paths []string, enter func(folder string)) listing {
	l := lister{
		listing: listing{folders: map[string]bool{}, unreadable: map[string]error{}, targets: map[string]bool{}},
		found:   map[string]bool{}, real: map[string]bool{}, enter: enter,
	}
	for _, path := range paths {
		l.path(path)
	}
	l.files = slices.Sorted(maps.Keys(l.found))
	return l.listing
}

func (l *lister) path(path string) {
	info, err := os.Stat(path)
	switch {
	case isGone(path, err):
		l.missing = append(l.missing, path)
	case err != nil:
		l.unreadable[path] = plainIO(err)
	case info.IsDir():
		l.folder(path, 0)
	default:
		l.file(path)
		l.target(path)
	}
}

func (l *lister) file(path string) {
	if len(l.found) >= filesMax {
		l.unreadable[path] = fmt.Errorf("more than %d manifests", filesMax)
		return
	}
	l.found[path] = true
}

// target notes where a file leads that is, or may be, a symbolic link.
func (l *lister) target(path string) {
	if target, err := filepath.EvalSymlinks(path); err == nil && target != path {
		l.targets[target] = true
	}
}

func (l *lister) folder(path string, depth int) {
	if depth > folderDepthMax {
		l.unreadable[path] = fmt.Errorf("folders are nested deeper than %d levels", folderDepthMax)
		return
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		if l.real[real] {
			return
		}
		l.real[real] = true
	}
	l.folders[path] = true
	l.enter(path)
	entries, err := os.ReadDir(path)
	if err != nil {
		if !isGone(path, err) {
			l.unreadable[path] = plainIO(err)
		}
		return
	}
	for _, e := range entries {
		if isHidden(e.Name()) {
			continue
		}
		below := filepath.Join(path, e.Name())
		mode := e.Type()
		if mode&fs.ModeSymlink != 0 {
			if info, err := os.Stat(below); err == nil {
				mode = info.Mode()
			}
		}
		switch {
		case mode.IsDir():
			l.folder(below, depth+1)
		case isManifest(e.Name()) && (mode.IsRegular() || mode&fs.ModeSymlink != 0):
			l.file(below)
			if e.Type()&fs.ModeSymlink != 0 {
				l.target(below)
			}
		}
	}
}

func isHidden(name string) bool { return strings.HasPrefix(name, ".") && name != "." && name != ".." }

func isManifest(name string) bool {
	switch filepath.Ext(name) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

// isGone says whether an error of reading a path means that its folder no longer has it. A link that leads nowhere is
// still there.
func isGone(path string, err error) bool {
	if err == nil {
		return false
	}
	_, err = os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// plainIO is an error of the file system without the name of the call and the path, which messages say themselves.
func plainIO(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
