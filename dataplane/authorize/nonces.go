package authorize

import (
	"container/list"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"sync"
	"time"
)

const (
	// nonceAgeMax is how long a nonce may be used.
	nonceAgeMax = 10 * time.Minute
	// noncesMax is how many nonces are remembered that somebody has logged in by.
	noncesMax = 10_000
	// countWindow is how far behind the highest count of a nonce another may come: a browser's requests overtake each other.
	countWindow = 64
)

// nonces issues nonces and sees that none is replayed. One that nobody has logged in by takes no memory: it is a time and
// a keyed hash of it.
type nonces struct {
	key    []byte
	opaque string
	now    func() time.Time

	mu sync.Mutex
	// used are those that somebody has logged in by; guarded by mu, as all that follows.
	used  map[string]*list.Element
	order *list.List // of *usedNonce, the oldest use first
	// floor is the time of issue up to which nonces that are not remembered may have been forgotten.
	floor uint64
}

type usedNonce struct {
	nonce  string
	issued uint64
	// highest is the highest count; bit n of seen tells of highest-n.
	highest, seen uint64
}

const (
	nonceTimeBytes = 8
	nonceBytes     = nonceTimeBytes + sha256.Size
)

func newNonces(now func() time.Time) *nonces {
	key, opaque := make([]byte, sha256.Size), make([]byte, 16)
	rand.Read(key)
	rand.Read(opaque)
	return &nonces{key: key, opaque: hex.EncodeToString(opaque), now: now, used: map[string]*list.Element{}, order: list.New()}
}

// issue makes a nonce for the users of a secret.
func (n *nonces) issue(of string) string {
	at := binary.BigEndian.AppendUint64(nil, uint64(n.now().UnixNano()))
	return base64.RawURLEncoding.EncodeToString(append(at, n.mac(of, at)...))
}

func (n *nonces) mac(of string, at []byte) []byte {
	mac := hmac.New(sha256.New, n.key)
	mac.Write(at)
	mac.Write([]byte(of))
	return mac.Sum(nil)
}

// use counts one use of a nonce; false where it is not ours, too old, or was used with that count.
func (n *nonces) use(of, nonce string, count uint64) bool {
	text, err := base64.RawURLEncoding.Strict().DecodeString(nonce)
	if err != nil || len(text) != nonceBytes || !hmac.Equal(text[nonceTimeBytes:], n.mac(of, text[:nonceTimeBytes])) || count == 0 {
		return false
	}
	issued := binary.BigEndian.Uint64(text)
	if n.now().Sub(time.Unix(0, int64(issued))) > nonceAgeMax {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.used[nonce]
	if e == nil {
		if issued <= n.floor {
			return false
		}
		n.used[nonce] = n.order.PushBack(&usedNonce{nonce: nonce, issued: issued, highest: count, seen: 1})
		n.forget()
		return true
	}
	n.order.MoveToBack(e)
	return e.Value.(*usedNonce).count(count)
}

// count notes a count, false where it was noted before or is too far behind.
func (u *usedNonce) count(count uint64) bool {
	if count > u.highest {
		u.seen, u.highest = u.seen<<min(count-u.highest, countWindow)|1, count
		return true
	}
	bit := uint64(1) << min(u.highest-count, countWindow)
	if bit == 0 || u.seen&bit != 0 {
		return false
	}
	u.seen |= bit
	return true
}

// forget drops the nonce that was not used for longest, where there are too many. n.mu is held.
func (n *nonces) forget() {
	if n.order.Len() <= noncesMax {
		return
	}
	oldest := n.order.Remove(n.order.Front()).(*usedNonce)
	delete(n.used, oldest.nonce)
	n.floor = max(n.floor, oldest.issued)
}
