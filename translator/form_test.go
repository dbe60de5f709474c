package translator_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/postern-gateway/postern/controlplane/casetest"
	"github.com/postern-gateway/postern/controlplane/casetest/worlds"
	"github.com/postern-gateway/postern/translator"
	"github.com/postern-gateway/postern/translator/explain"
	"github.com/postern-gateway/postern/translator/model"
	"github.com/postern-gateway/postern/translator/mutate"
	"github.com/postern-gateway/postern/translator/source"
)

// The size of the law: each request of each world is asked of both gateways.
const (
	formWorlds   = 100
	formRequests = 40
)

// TestFormAnswersAlike: a Gateway that was written and read again answers every request as the one before, but for who has
// shown a right password, which it cannot know; written again it is the same.
func TestFormAnswersAlike(t *testing.T) {
	asked, passwords := 0, 0
	for seed := range uint64(formWorlds) {
		w := worlds.Draw(seed, worlds.DrawSettings(seed))
		before := translator.Translate(drawnObjects(t, w))
		text := model.Encode(before.Gateway)
		after := before
		var err error
		if after.Gateway, err = model.Decode(text); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if again := model.Encode(after.Gateway); !bytes.Equal(text, again) {
			t.Fatalf("seed %d: written again, the gateway is another", seed)
		}
		for _, p := range w.Probes(formRequests) {
			was, is := tell(t, before, p), tell(t, after, p)
			switch {
			case shown(t, was) == shown(t, is):
				asked++
			case is.Decision.Status == http.StatusUnauthorized && strings.Contains(is.Decision.Reason, "cannot be told"):
				passwords++
			default:
				t.Errorf("%s: %s\nas it was:\n%sas it was read:\n%s", p.Position, p.Line, was.Text(), is.Text())
			}
		}
	}
	if asked < formWorlds*formRequests*9/10 || passwords == 0 {
		t.Errorf("%d requests were answered alike, and %d of users that cannot be told: too few to tell anything", asked, passwords)
	}
}

// shown is a story as anybody may see it, which is all that a form answers alike.
func shown(t *testing.T, s explain.Story) string {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func drawnObjects(t *testing.T, w worlds.World) (source.World, translator.Settings) {
	t.Helper()
	c, err := casetest.Parse(t, fmt.Sprintf("seed %d", w.Seed), w.Case("A world.", ""))
	if err != nil {
		t.Fatal(err)
	}
	return c.World(t)
}

// TestFormOfMutants: whatever the world, the form holds all of its gateway that is no secret.
func TestFormOfMutants(t *testing.T) {
	eachCase(t, func(t *testing.T, w source.World, s translator.Settings) {
		text := model.Encode(translator.Translate(mutate.World(w, 1), s).Gateway)
		read, err := model.Decode(text)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(text, model.Encode(read)) {
			t.Fatal("written again, the gateway is another")
		}
	})
}

// TestFormHoldsNoSecret: gateways that differ in nothing but private keys and the lines of users are written alike, so that
// none of these can be read out of what is written.
func TestFormHoldsNoSecret(t *testing.T) {
	planted := 0
	eachGateway(t, func(g model.Gateway) {
		n := 0
		plant := func(canary string) []byte {
			for i := range g.Certificates {
				g.Certificates[i].Key, n = model.Sensitive(canary), n+1
			}
			for i := range g.ClientCertificates {
				g.ClientCertificates[i].Key, n = model.Sensitive(canary), n+1
			}
			if g.Default != nil {
				own := *g.Default
				own.Key, g.Default, n = model.Sensitive(canary), &own, n+1
			}
			for i := range g.Users {
				g.Users[i].Entries, n = []model.User{{Name: canary, Hash: model.Sensitive(canary)}}, n+1
			}
			return model.Encode(g)
		}
		text := plant("canary-nobody-may-read-me")
		if !bytes.Equal(text, plant("another-of-them")) || bytes.Contains(text, []byte("canary")) {
			t.Fatal("what is written tells of a secret")
		}
		planted += n
	})
	if planted < 100 {
		t.Errorf("%d secrets were planted: too few to tell anything", planted)
	}
}

// eachGateway visits the gateways of some worlds, which the visitor may change.
func eachGateway(t *testing.T, visit func(model.Gateway)) {
	t.Helper()
	for seed := range uint64(formWorlds) {
		visit(translator.Translate(drawnObjects(t, worlds.Draw(seed, worlds.DrawSettings(seed)))).Gateway)
	}
}

// TestReadGatewaysNeverPanic: what was changed on the way is refused, or it can be asked.
func TestReadGatewaysNeverPanic(t *testing.T) {
	read := 0
	eachGateway(t, func(g model.Gateway) {
		text := model.Encode(g)
		r := rand.New(rand.NewPCG(uint64(len(text)), 1))
		for range formRequests {
			broken := slices.Clone(text)
			// A word of it goes to another place, which most often leaves JSON.
			words := bytes.SplitAfter(broken, []byte(`"`))
			from, to := r.IntN(len(words)), r.IntN(len(words))
			words[to] = words[from]
			other, err := model.Decode(bytes.Join(words, nil))
			if err != nil {
				continue
			}
			read++
			for _, url := range []string{"http://a.test/a/b", "https://q.b.test/"} {
				if _, err := explain.Explain(other, nil, explain.Request{URL: url}); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	if read == 0 {
		t.Error("nothing that was changed could be read: this tells nothing")
	}
	t.Logf("%d changed gateways were read", read)
}
