package wan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// shareBody is what is downloaded again and again: so large that the pause of a
	// round trip between two bodies does not count.
	shareBody = 16 << 20
	// shareLength is how long both download.
	shareLength = 30 * time.Second
	// shareStart is the part of it in which they find their shares.
	shareStart = 1.0 / 6
	// bareTCP names a TCP flow without any system, under referenceControl: what the
	// shares of systems are compared with.
	bareTCP          = "tcp-cubic"
	referenceControl = "cubic"
)

// measureShares has one flow of a system and one of TCP divide a bottleneck.
func (b *bench) measureShares(ctx context.Context) error {
	available := strings.Fields(procLine("/proc/sys/net/ipv4/tcp_available_congestion_control"))
	for _, rtt := range []time.Duration{usualRTT, 20 * time.Millisecond} {
		for _, against := range []string{"cubic", "bbr"} {
			if !slices.Contains(available, against) {
				b.note("share: no TCP with %s on this machine", against)
				continue
			}
			for _, system := range []string{Ergo, "nginx", bareTCP} {
				if system != bareTCP && !slices.Contains(b.config.Systems, system) || system == bareTCP && !slices.Contains(available, referenceControl) {
					continue
				}
				found, err := b.measureShare(ctx, system, against, rtt)
				if err == nil {
					b.result.Shares = append(b.result.Shares, found)
					b.say("share, %s ms: %s %.0f %%, %s %.0f %%", number(milli(rtt)), system, 100*found.Own, against, 100*found.Other)
				} else if err := b.settle(ctx, fmt.Sprintf("share, %s beside %s", system, against), err); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (b *bench) measureShare(ctx context.Context, system, against string, rtt time.Duration) (found Share, err error) {
	path := newCourse(rtt, 0).narrow()
	stands := system
	if system == bareTCP {
		stands = Ergo // and does nothing
	}
	s, err := b.set(ctx, play{system: stands, course: path, sizes: []int64{shareBody}})
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, s.strike()) }()
	ctx, stop := context.WithCancelCause(ctx)
	var flows sync.WaitGroup
	defer flows.Wait()
	defer stop(nil)
	other, err := s.serveTCP(ctx, against, &flows)
	if err != nil {
		return found, err
	}
	var own, others atomic.Int64
	if system == bareTCP {
		reference, err := s.serveTCP(ctx, referenceControl, &flows)
		if err != nil {
			return found, err
		}
		flows.Go(func() { stop(s.receive(ctx, reference, &own)) })
	} else {
		flows.Go(func() { stop(s.download(ctx, &own)) })
	}
	flows.Go(func() { stop(s.receive(ctx, other, &others)) })
	length := b.length(shareLength)
	if err := wait(ctx, seconds(length.Seconds()*shareStart)); err != nil {
		return found, err
	}
	ownStart, othersStart := own.Load(), others.Load()
	if err := wait(ctx, seconds(length.Seconds()*(1-shareStart))); err != nil {
		return found, err
	}
	ownBytes, otherBytes := own.Load()-ownStart, others.Load()-othersStart
	if ownBytes+otherBytes == 0 {
		return found, errors.New("neither delivered anything")
	}
	return Share{
		System: system, Against: against, Rate: path.Rate, RTT: path.RTT,
		Own: share(ownBytes, ownBytes+otherBytes), Other: share(otherBytes, ownBytes+otherBytes),
	}, nil
}

// download asks the system for a large body, and then for the next, until ctx ends.
func (s *stage) download(ctx context.Context, received *atomic.Int64) error {
	client := http.Client{Transport: &http.Transport{DialContext: s.wan.Near.Dial}}
	defer client.CloseIdleConnections()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.chain.Address()+bodyPath(shareBody), nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return fmt.Errorf("download: %w", err)
		}
		n, err := io.Copy(counter{received}, response.Body)
		response.Body.Close()
		if err != nil {
			return fmt.Errorf("download: %w", err)
		}
		if n != shareBody || response.StatusCode != http.StatusOK {
			return fmt.Errorf("download: %s, %d bytes", response.Status, n)
		}
	}
}

// serveTCP sends to everyone who connects, from the far side, for as long as ctx
// lives, under that congestion control. It returns its address.
func (s *stage) serveTCP(ctx context.Context, congestionControl string, running *sync.WaitGroup) (address string, err error) {
	var listener net.Listener
	err = s.wan.Far.Inside(func() (err error) {
		c := net.ListenConfig{Control: useCongestionControl(congestionControl)}
		listener, err = c.Listen(ctx, "tcp", net.JoinHostPort(s.wan.Far.Address.String(), "0"))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("serve TCP with %s: %w", congestionControl, err)
	}
	running.Go(func() {
		<-ctx.Done()
		listener.Close()
	})
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				defer context.AfterFunc(ctx, func() { conn.Close() })()
				content := make([]byte, 64<<10)
				for err == nil {
					_, err = conn.Write(content)
				}
			})
		}
	})
	return listener.Addr().String(), nil
}

// receive takes what the far side sends over TCP until ctx ends.
func (s *stage) receive(ctx context.Context, address string, received *atomic.Int64) error {
	conn, err := s.wan.Near.Dial(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("receive over TCP: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err = io.Copy(counter{received}, conn); err == nil {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("receive over TCP: %w", err)
}

// A counter counts what is written to it.
type counter struct{ bytes *atomic.Int64 }

// Write implements io.Writer.
func (c counter) Write(b []byte) (int, error) {
	c.bytes.Add(int64(len(b)))
	return len(b), nil
}

// wait returns when d has passed, or with the cause when ctx ends before.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
