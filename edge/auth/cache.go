package auth

import (
	"crypto/sha256"
	"sync"
	"time"
)

// tokenKey stands for a token, which itself is not kept in memory.
type tokenKey = [sha256.Size]byte

const cacheShards = 16

// tokenCache remembers tokens that were verified. Each shard has a young and an
// old generation: when the young one is full it becomes the old one, whose
// entries are forgotten unless they were used meanwhile. Thus the number of
// entries is bounded, and what is in use stays.
type tokenCache struct {
	shards [cacheShards]cacheShard
	half   int // entries of one generation of one shard
	maxAge time.Duration
}

type cacheShard struct {
	mu sync.Mutex // guards the maps below

	young, old map[tokenKey]cacheEntry
}

type cacheEntry struct {
	identity *Identity
	until    time.Time // the earlier of expiry and maximum age
}

func newTokenCache(entries int, maxAge time.Duration) *tokenCache {
	return &tokenCache{half: max(1, entries/cacheShards/2), maxAge: maxAge}
}

func (c *tokenCache) shard(key tokenKey) *cacheShard { return &c.shards[key[0]%cacheShards] }

// get returns the identity of a token that is still valid at now, or nil.
func (c *tokenCache) get(key tokenKey, now time.Time) *Identity {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	entry, young := s.young[key]
	if !young {
		var found bool
		if entry, found = s.old[key]; !found {
			return nil
		}
	}
	if !now.Before(entry.until) {
		delete(s.young, key)
		delete(s.old, key)
		return nil
	}
	if !young {
		s.insert(key, entry, c.half)
	}
	return entry.identity
}

// put remembers identity until the token expires, at most for the maximum age.
func (c *tokenCache) put(key tokenKey, identity *Identity, expiry, now time.Time) {
	until := now.Add(c.maxAge)
	if expiry.Before(until) {
		until = expiry
	}
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.insert(key, cacheEntry{identity, until}, c.half)
}

// insert is called with mu held.
func (s *cacheShard) insert(key tokenKey, entry cacheEntry, half int) {
	if len(s.young) >= half {
		s.old, s.young = s.young, nil
	}
	if s.young == nil {
		s.young = make(map[tokenKey]cacheEntry)
	}
	s.young[key] = entry
}

// len counts the entries.
func (c *tokenCache) len() int {
	n := 0
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += len(s.young) + len(s.old)
		s.mu.Unlock()
	}
	return n
}
