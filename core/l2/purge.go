package l2

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// MaxRecord is the size limit of a purge record in bytes.
	MaxRecord = 16 << 10

	// purgePage is how many records are read in one round trip.
	purgePage = 256

	// watchFor is how long Watch waits for a purge before it looks whether the log is
	// still the one it has read.
	watchFor = 5 * time.Second
)

// purgeContext is what purge records are sealed for.
var purgeContext = []byte("ergo l2 purge 1")

// ErrRecordTooLarge is the error of a record of more than MaxRecord bytes.
var ErrRecordTooLarge = errors.New("purge record too large")

// A Record is one purge.
type Record struct {
	Epoch uint64
	Data  []byte // as it was given to AppendPurge
}

// A Log is what there is to know of the purge log, from some epoch on.
type Log struct {
	// Epoch of the log. All records up to it are there, or below Floor.
	Epoch uint64

	// Floor is the epoch above which no record is missing. Values with an epoch below
	// it can't be judged, and have to be treated as purged.
	Floor uint64

	// Records in the order of their epochs.
	Records []Record
}

// Complete reports whether the log holds every purge after the given epoch.
func (l *Log) Complete(after uint64) bool { return l.Floor <= after }

// Both scripts begin a new log if there is none. Its epochs are above those of any
// that was there before, unless Redis' clock has gone back, which Floor tells too.

// appendScript takes the keys of the epoch and of the stream, the record, and how
// many the stream keeps. It returns the epoch.
var appendScript = redis.NewScript(`
local last = tonumber(redis.call('GET', KEYS[1]) or '0')
local now = redis.call('TIME')
local epoch = math.max(now[1] * 1000000 + now[2], last + 1)
local id = string.format('%.0f', epoch)
if last == 0 then
  last = epoch - 1
  redis.call('DEL', KEYS[2])
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], id .. '-0',
  'p', string.format('%.0f', last), 'r', ARGV[1])
redis.call('SET', KEYS[1], id)
return id
`)

// epochScript takes the keys of the epoch and of the stream, and an epoch that the
// log had. It returns the epoch. A log that is below has lost records.
var epochScript = redis.NewScript(`
local last = tonumber(redis.call('GET', KEYS[1]) or '0')
local known = tonumber(ARGV[1])
if last == 0 or last < known then
  local now = redis.call('TIME')
  last = math.max(now[1] * 1000000 + now[2], known + 1)
  redis.call('DEL', KEYS[2])
  redis.call('SET', KEYS[1], string.format('%.0f', last))
end
return string.format('%.0f', last)
`)

// AppendPurge adds a record to the log and returns its epoch. It is made whether
// the breaker is open or not. After an error the record may be there or not: to
// append it again does no harm.
func (s *Store) AppendPurge(ctx context.Context, record []byte) (uint64, error) {
	if len(record) > MaxRecord {
		return 0, fmt.Errorf("append to the purge log: %w: %d bytes, limit %d", ErrRecordTooLarge, len(record), MaxRecord)
	}
	sealed := s.deps.Sealer.Seal(nil, record, purgeContext)
	epoch, err := s.runScript(ctx, s.client, appendScript, sealed, s.cfg.PurgeLog)
	if err != nil {
		return 0, fmt.Errorf("append to the purge log: %w", err)
	}
	s.stats.PurgesSent.Add(1)
	return epoch, nil
}

// Purges returns the log after an epoch; with 0, all of it. If there is no log, or
// one that is behind, it begins a new one, and all values stored before are below
// its Floor.
func (s *Store) Purges(ctx context.Context, after uint64) (Log, error) {
	log, err := s.purges(ctx, s.client, after)
	if err != nil {
		return Log{}, fmt.Errorf("read the purge log: %w", err)
	}
	return log, nil
}

func (s *Store) purges(ctx context.Context, client *redis.Client, after uint64) (Log, error) {
	epoch, err := s.runScript(ctx, client, epochScript, after)
	if err != nil {
		return Log{}, err
	}
	log := Log{Epoch: epoch, Floor: after}
	at := after // how far the chain of records has got
	for at < epoch {
		page, err := s.readPage(ctx, client, at, epoch)
		if err != nil {
			return Log{}, err
		}
		for _, m := range page {
			e, ok := parseEntry(m)
			if !ok {
				return Log{Epoch: epoch, Floor: epoch}, nil // nobody but us writes there
			}
			if e.before != at {
				log.Floor = max(log.Floor, e.before)
			}
			s.open(&log, e)
			at = e.epoch
		}
		if len(page) < purgePage {
			break
		}
		if len(log.Records) > 2*maxPurgeLog {
			return Log{Epoch: epoch, Floor: epoch}, nil // trimming leaves a little more than it should, but not this
		}
	}
	if at != epoch {
		log.Floor = epoch
	}
	return log, nil
}

// readPage returns the entries after one epoch and up to another.
func (s *Store) readPage(ctx context.Context, client *redis.Client, after, to uint64) ([]redis.XMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout.Std())
	defer cancel()
	return client.XRangeN(ctx, s.purgesKey, entryID(after+1), entryID(to), purgePage).Result()
}

func entryID(epoch uint64) string { return strconv.FormatUint(epoch, 10) + "-0" }

// open adds the record of an entry to log. One that does not open may be about
// anything, so what is older can't be judged any more.
func (s *Store) open(log *Log, e entry) {
	data, err := s.deps.Sealer.Open(nil, []byte(e.sealed), purgeContext)
	if err != nil {
		s.stats.PurgesBroken.Add(1)
		log.Floor = max(log.Floor, e.epoch)
		return
	}
	s.stats.PurgesRead.Add(1)
	log.Records = append(log.Records, Record{Epoch: e.epoch, Data: data})
}

// entry is a record as it stands in the stream.
type entry struct {
	epoch  uint64
	before uint64
	sealed string
}

func parseEntry(m redis.XMessage) (entry, bool) {
	id, zero := strings.CutSuffix(m.ID, "-0")
	epoch, err1 := strconv.ParseUint(id, 10, 64)
	p, _ := m.Values["p"].(string)
	before, err2 := strconv.ParseUint(p, 10, 64)
	sealed, ok := m.Values["r"].(string)
	return entry{epoch, before, sealed}, zero && ok && err1 == nil && err2 == nil && before < epoch
}

// runScript runs one of the scripts, which return an epoch.
func (s *Store) runScript(ctx context.Context, client *redis.Client, script *redis.Script, args ...any) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout.Std())
	defer cancel()
	text, err := script.Run(ctx, client, []string{s.epochKey, s.purgesKey}, args...).Text()
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(text, 10, 64)
}

// Watch calls fn with what Purges returns, at first and whenever a purge was
// appended or the log has changed otherwise, until ctx ends; then it returns nil.
// fn has all purges after the given epoch, or a Floor above it. While Redis is gone
// Watch tries again at each Config.Breaker.CoolDown. It has a connection of its own.
func (s *Store) Watch(ctx context.Context, after uint64, fn func(Log)) error {
	client := s.newClient(1)
	defer client.Close()
	// go-redis does not look whether a context was cancelled while it waits.
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		_ = client.Close()
	})
	defer func() {
		if !stop() {
			<-closed
		}
	}()
	for first := true; ctx.Err() == nil; {
		log, err := s.purges(ctx, client, after)
		if err != nil {
			pause(ctx, s.cfg.Breaker.CoolDown.Std())
			continue
		}
		if first || log.Epoch != after || !log.Complete(after) {
			fn(log)
		}
		first, after = false, log.Epoch
		if err := s.wait(ctx, client, after); err != nil {
			pause(ctx, s.cfg.Breaker.CoolDown.Std())
		}
	}
	return nil
}

// wait returns when there is a purge after an epoch, or after watchFor.
func (s *Store) wait(ctx context.Context, client *redis.Client, after uint64) error {
	ctx, cancel := context.WithTimeout(ctx, watchFor+s.cfg.Timeout.Std())
	defer cancel()
	err := client.XRead(ctx, &redis.XReadArgs{
		Streams: []string{s.purgesKey, entryID(after)},
		Count:   1,
		Block:   watchFor,
	}).Err()
	if errors.Is(err, redis.Nil) {
		return nil
	}
	return err
}
