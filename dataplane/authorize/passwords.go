package authorize

import (
	"container/list"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tg123/go-htpasswd"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sync/singleflight"

	"github.com/postern-gateway/postern/dataplane/config"
)

const (
	// passwordBytesMax is the longest password: MD5 hashes take time by its length.
	passwordBytesMax = 1024
	// bcryptCostMax bounds what one check may cost, whatever a control plane sends.
	bcryptCostMax = 14
	// rightMax is how many passwords are remembered as right.
	rightMax = 4096
	// waitingMax bounds the checks that wait for a place, and placeWaitMax how long one does.
	waitingMax   = 256
	placeWaitMax = 5 * time.Second
)

var errBusy = errors.New("too many passwords are being checked")

// Passwords checks passwords. Dear checks are bounded in number, and right answers remembered under a keyed hash of user,
// password and what stands for it in the Secret: a changed Secret makes an old answer unreachable.
type Passwords struct {
	key     []byte
	places  chan struct{}
	waiting chan struct{}
	flights singleflight.Group

	mu    sync.Mutex
	right map[[sha256.Size]byte]*list.Element // guarded by mu
	used  *list.List                          // of the keys, latest use first; guarded by mu
}

// NewPasswords makes Passwords with a memory of their own.
func NewPasswords() *Passwords {
	key := make([]byte, sha256.Size)
	rand.Read(key) // It never fails (crypto/rand).
	return &Passwords{
		key: key, places: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), waiting: make(chan struct{}, waitingMax),
		right: map[[sha256.Size]byte]*list.Element{}, used: list.New(),
	}
}

// Check says whether a password is the user's, of whom there is one at least. That of a user who is not there takes as long.
// The error is the context's, or that too many passwords are being checked.
func (p *Passwords) Check(ctx context.Context, users *config.Users, user, password string) (bool, error) {
	hash, known := users.Hashes[user]
	if !known {
		// Whichever: what counts is that it is of the kind that others are.
		hash = users.Hashes[slices.Min(slices.Collect(maps.Keys(users.Hashes)))]
	}
	if len(password) > passwordBytesMax {
		return false, nil
	}
	if strings.HasPrefix(hash, htpasswdSHA) {
		return matches(hash, password) && known, nil
	}
	id := p.id(user, hash, password)
	if known && p.remembered(id) {
		return true, nil
	}
	// The pages of one login ask many times at once.
	done := p.flights.DoChan(string(id[:]), func() (any, error) {
		if err := p.place(); err != nil {
			return false, err
		}
		defer func() { <-p.places }()
		return matches(hash, password), nil
	})
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case result := <-done:
		if result.Err != nil {
			return false, result.Err
		}
		right := known && result.Val.(bool)
		if right {
			p.remember(id)
		}
		return right, nil
	}
}

// place waits for one of the places of a dear check.
func (p *Passwords) place() error {
	select {
	case p.places <- struct{}{}:
		return nil
	default:
	}
	select {
	case p.waiting <- struct{}{}:
		defer func() { <-p.waiting }()
	default:
		return errBusy
	}
	wait := time.NewTimer(placeWaitMax)
	defer wait.Stop()
	select {
	case p.places <- struct{}{}:
		return nil
	case <-wait.C:
		return errBusy
	}
}

func (p *Passwords) id(parts ...string) [sha256.Size]byte {
	mac := hmac.New(sha256.New, p.key)
	for _, part := range parts {
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		mac.Write([]byte(part))
	}
	return [sha256.Size]byte(mac.Sum(nil))
}

func (p *Passwords) remembered(id [sha256.Size]byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, ok := p.right[id]
	if ok {
		p.used.MoveToFront(e)
	}
	return ok
}

func (p *Passwords) remember(id [sha256.Size]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.right[id] != nil {
		return
	}
	p.right[id] = p.used.PushFront(id)
	if p.used.Len() > rightMax {
		delete(p.right, p.used.Remove(p.used.Back()).([sha256.Size]byte))
	}
}

const htpasswdSHA = "{SHA}"

// matches compares in constant time, but for what the hash itself takes. What is no hash matches nothing; the library's
// errors, which show it, are dropped.
func matches(hash, password string) bool {
	if cost, err := bcrypt.Cost([]byte(hash)); err == nil {
		return cost <= bcryptCostMax && bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
	}
	for _, parse := range []htpasswd.PasswdParser{htpasswd.AcceptSha, htpasswd.AcceptMd5} {
		if encoded, err := parse(hash); err == nil && encoded != nil {
			return encoded.MatchesPassword(password)
		}
	}
	return false
}
