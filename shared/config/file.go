package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Path is the path of an input file. One that is not absolute is relative to
// the directory of the config file; Load makes it absolute and refuses a file
// that does not exist, is no regular file or can't be read. "" is not set.
type Path string

// Describe says what may be written for a Path.
func (Path) Describe() string { return "the path of a file" }

// resolve returns the absolute form of path in a config file of directory dir.
func resolve(dir, path string) (string, error) {
	if path == "~" || strings.HasPrefix(path, "~/") {
		return "", fmt.Errorf("%q: ~ is not replaced by a home directory, write it out", path)
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return filepath.Abs(path)
}

// maxHashed is how much of a watched file is read to see whether it changed, in
// bytes. Of a longer one only size, time and identity count.
const maxHashed = 16 << 20

// fileState is what a file was when it was last looked at.
type fileState struct {
	info  os.FileInfo // nil: it could not be read
	sum   [sha256.Size]byte
	whole bool // sum covers all of it
	taken time.Time
}

// readFile returns the content and state of a regular file of at most limit
// bytes. Its errors name the file.
func readFile(path string, limit int64) ([]byte, fileState, error) {
	f, info, err := openRegular(path)
	if err != nil {
		return nil, fileState{}, err
	}
	defer f.Close()
	state := fileState{info: info, taken: time.Now()}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fileState{}, fmt.Errorf("file %s can't be read: %w", path, cause(err))
	}
	if int64(len(data)) > limit {
		return nil, state, fmt.Errorf("file %s is larger than %v", path, Bytes(limit))
	}
	state.sum, state.whole = sha256.Sum256(data), true
	return data, state, nil
}

// lookAt returns the state of a regular file of any size.
func lookAt(path string) (fileState, error) {
	f, info, err := openRegular(path)
	if err != nil {
		return fileState{}, err
	}
	defer f.Close()
	state := fileState{info: info, taken: time.Now()}
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(f, maxHashed+1))
	if err != nil {
		return fileState{}, fmt.Errorf("file %s can't be read: %w", path, cause(err))
	}
	state.whole = n <= maxHashed
	h.Sum(state.sum[:0])
	return state, nil
}

// openRegular opens path. It asks before what it is: to open a named pipe would
// wait for somebody to write to it.
func openRegular(path string) (*os.File, os.FileInfo, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, fmt.Errorf("file %s does not exist", path)
	case err != nil:
		return nil, nil, fmt.Errorf("file %s can't be read: %w", path, cause(err))
	case info.IsDir():
		return nil, nil, fmt.Errorf("%s is a directory, want a file", path)
	case !info.Mode().IsRegular():
		return nil, nil, fmt.Errorf("%s is no regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("file %s can't be read: %w", path, cause(err))
	}
	if info, err = f.Stat(); err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("file %s can't be read: %w", path, cause(err))
	}
	return f, info, nil
}

// cause removes operation and path from err: the sentence around it has both.
func cause(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}
