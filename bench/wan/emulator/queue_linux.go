package emulator

import "time"

// maxUnderWay bounds the packets of both directions that wait for their time: at
// 1500 bytes 98 MB, which is 4 s of 200 Mbit/s.
const maxUnderWay = 1 << 16

// A packet waits for its time. Its memory is used again.
type packet struct {
	due    time.Time
	number uint64 // packets that are due at the same time keep their order
	to     *wire
	size   int
	data   []byte
}

// A queue is a heap.Interface: the packet that is due first comes first.
type queue []*packet

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if q[i].due.Equal(q[j].due) {
		return q[i].number < q[j].number
	}
	return q[i].due.Before(q[j].due)
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *queue) Push(p any) { *q = append(*q, p.(*packet)) }

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	p := (*q)[last]
	*q = (*q)[:last]
	return p
}
