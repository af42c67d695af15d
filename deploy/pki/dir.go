package pki

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// authorityName is the base name of the CA's files.
const authorityName = "ca"

// Dir keeps an authority and what it issued in the files of one directory.
type Dir struct {
	Path  string
	Force bool // replace files that exist; without it that is an error
}

// Init makes the directory if need be and writes a to it.
func (d Dir) Init(a *Authority) (cert, key string, err error) {
	pair, err := a.Pair()
	if err != nil {
		return "", "", err
	}
	return d.write(authorityName, pair)
}

// Authority reads the CA.
func (d Dir) Authority() (*Authority, error) {
	cert, err := os.ReadFile(d.path(authorityName, ".crt"))
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(d.path(authorityName, ".key"))
	if err != nil {
		return nil, err
	}
	return ParseAuthority(cert, key)
}

// Write writes a pair under name and returns the paths of its files. The
// authority's own name is refused, and so is one that leaves the directory.
func (d Dir) Write(name string, pair Pair) (cert, key string, err error) {
	if name == authorityName || name != filepath.Base(name) || name == "." || name == ".." {
		return "", "", fmt.Errorf("%q cannot be the name of a certificate's files", name)
	}
	return d.write(name, pair)
}

func (d Dir) write(name string, pair Pair) (cert, key string, err error) {
	if err := os.MkdirAll(d.Path, 0o755); err != nil {
		return "", "", err
	}
	cert, key = d.path(name, ".crt"), d.path(name, ".key")
	if !d.Force {
		// Both are looked at before either is written: half a pair is worse
		// than none.
		for _, path := range []string{cert, key} {
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
				return "", "", fmt.Errorf("%s exists already", path)
			}
		}
	}
	if err := d.place(key, pair.Key, 0o600); err != nil {
		return "", "", err
	}
	if err := d.place(cert, pair.Cert, 0o644); err != nil {
		return "", "", err
	}
	return cert, key, nil
}

func (d Dir) path(name, ending string) string { return filepath.Join(d.Path, name+ending) }

// place writes a file so that a reader sees all of it or nothing, and, without
// Force, so that of two writers one fails.
func (d Dir) place(path string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(d.Path, ".new-*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if d.Force {
		return os.Rename(f.Name(), path)
	}
	return os.Link(f.Name(), path)
}
