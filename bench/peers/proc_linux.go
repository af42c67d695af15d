package peers

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"time"
)

// ticksPerSecond is USER_HZ, the unit of CPU times in /proc. It is 100 on every
// architecture that Go runs on.
const ticksPerSecond = 100

// ownGroup makes a child a group of its own, so that Ctrl-C in a terminal
// reaches only the bench, which then stops it; and has the kernel end it if the
// bench is killed. SIGTERM and not SIGKILL, so that an nginx master takes its
// workers along.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

func terminate(pid int) error { return syscall.Kill(pid, syscall.SIGTERM) }

// killGroup kills all processes that a child has started in its group.
func killGroup(pid int) error { return syscall.Kill(-pid, syscall.SIGKILL) }

// RaiseFileLimit lets this process and its children open as many files as the
// hard limit allows, and returns an error if that is fewer than need.
func RaiseFileLimit(need uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	if limit.Max < need {
		return fmt.Errorf("the limit of open files is %d, need %d: raise it with ulimit -Hn %d", limit.Max, need, need)
	}
	// Go raises the limit for itself at start, but gives children the old one
	// unless it was set here.
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raise the limit of open files: %w", err)
	}
	return nil
}

// A stat is what of /proc/PID/stat is used.
type stat struct {
	parent int
	usage  usage
}

// treeUsage sums up pid and its descendants, those that have ended included as
// far as their parents have waited for them.
func treeUsage(pid int) (usage, error) {
	all, err := allStats()
	if err != nil {
		return usage{}, err
	}
	if _, ok := all[pid]; !ok {
		return usage{}, fmt.Errorf("process %d is gone", pid)
	}
	var total usage
	for id := range all {
		if descends(all, id, pid) {
			total.cpu += all[id].usage.cpu
			total.rss += all[id].usage.rss
		}
	}
	return total, nil
}

// descends reports whether the process id is root or below it. A chain of
// parents that is longer than the table has changed while it was read.
func descends(all map[int]stat, id, root int) bool {
	for range len(all) {
		if id == root {
			return true
		}
		s, ok := all[id]
		if !ok {
			return false
		}
		id = s.parent
	}
	return false
}

func allStats() (map[int]stat, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	all := make(map[int]stat, len(entries))
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue // not a process
		}
		content, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended
		}
		if err != nil {
			return nil, err
		}
		if all[pid], err = parseStat(content); err != nil {
			return nil, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
	}
	return all, nil
}

// parseStat reads a line of proc_pid_stat(5). Fields are counted from the end
// of the command's name, which may hold spaces and parentheses.
func parseStat(line []byte) (stat, error) {
	end := bytes.LastIndexByte(line, ')')
	if end < 0 {
		return stat{}, errors.New("no command name")
	}
	fields := bytes.Fields(line[end+1:])
	const ( // field numbers of the manual page, minus the three up to the name
		parent, userTime, childSystemTime, resident = 4 - 3, 14 - 3, 17 - 3, 24 - 3
	)
	if len(fields) <= resident {
		return stat{}, fmt.Errorf("%d fields, want more", len(fields))
	}
	var s stat
	var err error
	if s.parent, err = strconv.Atoi(string(fields[parent])); err != nil {
		return stat{}, fmt.Errorf("parent: %w", err)
	}
	for _, field := range fields[userTime : childSystemTime+1] { // user, system, and both of waited-for children
		ticks, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return stat{}, fmt.Errorf("CPU time: %w", err)
		}
		s.usage.cpu += time.Duration(ticks) * (time.Second / ticksPerSecond)
	}
	pages, err := strconv.ParseInt(string(fields[resident]), 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("resident pages: %w", err)
	}
	s.usage.rss = pages * int64(os.Getpagesize())
	return s, nil
}
