package files

import (
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"
)

// content is a file as it was read at one moment.
type content struct {
	data []byte
	hash [sha256.Size]byte
	// info is of the file that was read, links followed; nil where it could not be read.
	info fs.FileInfo
	// gone means that the folder no longer has the file, or has something else under its name.
	gone bool
	// moved means that the file changed while it was read.
	moved bool
	// err is why it could not be read.
	err error
}

// readContent reads a regular file, one byte more than fileSizeMax at most.
func readContent(path string) content {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return content{gone: true} // Opening a named pipe would wait for a writer.
	}
	if err != nil {
		return unreadable(path, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return unreadable(path, err)
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return unreadable(path, err)
	}
	data, err := io.ReadAll(io.LimitReader(f, fileSizeMax+1))
	if err != nil {
		return unreadable(path, err)
	}
	after, err := f.Stat()
	if err != nil {
		return unreadable(path, err)
	}
	return content{data: data, hash: sha256.Sum256(data), info: after, moved: !sameInfo(before, after)}
}

func unreadable(path string, err error) content {
	if isGone(path, err) {
		return content{gone: true}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return content{err: errors.New("the symbolic link leads nowhere")}
	}
	return content{err: plainIO(err)}
}

// sameInfo says whether a file is the same file, with the same size and time of change.
func sameInfo(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// same says whether two readings found the same.
func (c content) same(d content) bool {
	return c.gone == d.gone && c.hash == d.hash && sameInfo(c.info, d.info) &&
		(c.err == nil) == (d.err == nil) && (c.err == nil || c.err.Error() == d.err.Error())
}

// tells says whether a content that was judged tells all about another: they hold the same, or fail in the same way.
func (c content) tells(d content) bool {
	if c.info != nil && d.info != nil {
		return c.hash == d.hash
	}
	return c.err != nil && d.err != nil && c.err.Error() == d.err.Error()
}

// clockDoubt is how much later than its change a file must have been read for its time of change to prove that it
// is still the same: file systems count time in steps, up to 4 ms on Linux, up to 2 s on FAT.
const clockDoubt = 2 * time.Second

// provenBy says whether a file with this info must have the content that was read at a time.
func (c content) provenBy(info fs.FileInfo, read time.Time) bool {
	return c.info != nil && sameInfo(c.info, info) && read.Sub(info.ModTime()) > clockDoubt
}
