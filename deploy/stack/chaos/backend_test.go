//go:build linux

package chaos

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/ergoproxy/ergo/deploy/demo"
)

// The environment of a backend, which is this test binary.
const (
	journalVariable = "ERGO_CHAOS_JOURNAL" // the file to write executions to
	addressVariable = "ERGO_CHAOS_ADDRESS"
	nameVariable    = "ERGO_CHAOS_NAME"
)

// backendMain runs a demo backend that writes the id of every execution to a
// journal before it answers. What was written stays when the process is killed:
// it is in the hands of the kernel.
func backendMain(journal string) int {
	file, err := os.OpenFile(journal, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	handler := demo.NewHandler(os.Getenv(nameVariable))
	server := &http.Server{Addr: os.Getenv(addressVariable), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id := r.URL.Query().Get("id"); id != "" {
			if _, err := file.WriteString(id + "\n"); err != nil {
				http.Error(w, err.Error(), http.StatusInsufficientStorage)
				return
			}
		}
		handler.ServeHTTP(w, r)
	})}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	drained := make(chan error, 1)
	context.AfterFunc(ctx, func() { drained <- server.Shutdown(context.WithoutCancel(ctx)) })
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := <-drained; err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// readJournal adds the executions in a journal to executed.
func readJournal(path string, executed map[string]int) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		executed[strings.TrimSuffix(line, "\n")]++
	}
	return nil
}
