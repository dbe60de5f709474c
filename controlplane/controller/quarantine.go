package controller

import (
	"time"

	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"

	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/translator"
)

// quarantineMax bounds how many objects one refusal takes out of service. A refusal that so many could be behind says
// nothing of any of them.
const quarantineMax = 50

// judge looks at what stands of refusals once all proxies have answered.
func (l *loop) judge() {
	refusals, connected := l.c.server.Standing()
	for _, nack := range refusals {
		l.quarantine(nack)
	}
	if connected && len(refusals) == 0 {
		l.accepted = l.last
		l.c.log.Debug("accepted", "revision", uint64(l.accepted.Revision))
	}
}

// quarantine has the objects behind a refusal served as they were when all was accepted: those that have changed since.
// Each refusal is one step, and there are three at most for a change: the version before or 503 in the place of a version,
// nothing in its place, and then what was accepted last in the place of everything.
func (l *loop) quarantine(nack xds.NACK) {
	switch nack.TypeURL {
	case resource.ClusterType, resource.ListenerType, resource.RouteType:
	default:
		// Secrets and endpoints harm nothing but what they are of.
		return
	}
	// A second refusal of one publication is no word about what the first one led to.
	again := l.stepped == l.configuration
	updates := translator.Updates(l.accepted.World, l.last.World, nack.Origins)
	if len(updates) > quarantineMax {
		l.c.log.Error("proxies refuse what more objects than can be told apart are behind; they keep what they have", "objects", len(updates), "words", nack.Words)
		return
	}
	stepped := false
	for _, u := range updates {
		stepped = l.refuse(u, nack.Words) || stepped
	}
	switch {
	case stepped || again:
		l.stepped = l.configuration
		l.note(Change{At: time.Now()})
		l.settled = true
	case len(l.refusals) > 0:
		l.rollBack(nack)
	default:
		l.c.log.Error("proxies refuse what no change is behind; they keep what they have", "resources", nack.Blamed, "words", nack.Words)
	}
}

// refuse takes a version of an object out of service, or what is served in its place; false where nothing is left to take.
func (l *loop) refuse(u translator.Update, words string) bool {
	for i, r := range l.refusals {
		if r.Of(u.Now) {
			left := !r.LeftOut && l.stepped != l.configuration
			l.refusals[i].LeftOut = r.LeftOut || left
			return left
		}
	}
	l.refusals = append(l.refusals, translator.Refusal{Version: u.Now, Before: u.Before, Words: words})
	return true
}

// rollBack serves what was accepted last, until something changes.
func (l *loop) rollBack(nack xds.NACK) {
	if l.rolledBack || l.accepted.Revision == 0 {
		l.c.log.Error("proxies refuse what was accepted before; they keep what they have", "resources", nack.Blamed, "words", nack.Words)
		return
	}
	l.c.log.Error("proxies refuse what is served in the place of what they refuse; what they accepted last is served until something changes",
		"resources", nack.Blamed, "words", nack.Words)
	back := l.accepted
	back.Began, back.Took, back.EndpointsOnly = time.Now(), 0, false
	if l.send(back) == nil {
		l.rolledBack, l.changed = true, false
		l.configuration, l.settled = l.last.Revision, true
	}
}
