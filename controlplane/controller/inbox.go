package controller

import (
	"sync"

	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/source"
)

// refusalsMax bounds the NACKs that wait to be looked into; beyond it the oldest go. Observers have been told of all.
const refusalsMax = 100

// mail is what comes to the loop from elsewhere than the Source: the newest of each, and all refusals.
type mail struct {
	// names are nil where there are no new answers.
	names       []source.ResolvedName
	certificate *model.Certificate
	refusals    []xds.NACK
	// settled is the newest revision that all proxies have answered.
	settled xds.Revision
}

// inbox holds the mail until the loop takes it.
type inbox struct {
	// wake has room for one.
	wake chan struct{}

	mu sync.Mutex
	// mail is guarded by mu.
	mail mail
}

func (b *inbox) put(write func(*mail)) {
	b.mu.Lock()
	write(&b.mail)
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *inbox) take() mail {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.mail
	b.mail = mail{}
	return out
}

// answered takes new answers of DNS.
func (c *Controller) answered(answers []source.ResolvedName) {
	if answers == nil {
		answers = []source.ResolvedName{}
	}
	c.inbox.put(func(m *mail) { m.names = answers })
}
