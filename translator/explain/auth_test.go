package explain_test

import (
	"testing"

	"github.com/postern-gateway/postern/translator/explain"
	"github.com/postern-gateway/postern/translator/model"
)

// TestExplainUser: a user by name goes on without a password, by digest too, also where the model came without its users;
// nobody else does.
func TestExplainUser(t *testing.T) {
	for _, kind := range []model.AuthKind{model.AuthBasic, model.AuthDigest} {
		auth := &model.Auth{Kind: kind, Users: model.SecretRef{Namespace: "shop", Name: "users"}, HeaderField: "X-User"}
		g := model.Gateway{
			Tables: []model.Table{{Entry: model.Entry{Name: "http"}, Any: []model.Route{{
				Path: model.Prefix("/"), Action: &model.Forward{Targets: []model.Target{{Backend: "shop/web/80", Weight: 1}}},
				RoutePolicies: model.RoutePolicies{Auth: auth},
			}}}},
			Backends:    []model.Backend{{Name: "shop/web/80", Protocol: model.ProtocolHTTP, Assignment: "shop/web/80"}},
			Assignments: []model.Assignment{{Name: "shop/web/80"}},
		}
		known := []model.User{{Name: "alice", Hash: model.Sensitive("{SHA}x")}}
		for _, tt := range []struct {
			user    string
			entries []model.User
			status  int
		}{{"", known, 401}, {"alice", known, 503}, {"bob", known, 401}, {"bob", nil, 503}, {"", nil, 401}} {
			g.Users = []model.Users{{Name: auth.UsersName(), Entries: tt.entries}}
			story, err := explain.Explain(g, nil, explain.Request{URL: "http://a.test/", User: tt.user})
			if err != nil || story.Decision.Status != tt.status {
				t.Errorf("%s, as %q of %d users: %v, %v; want %d", kind, tt.user, len(tt.entries), story.Decision, err, tt.status)
			}
			if tt.status == 503 && story.Decision.Headers.Get("X-User") != tt.user {
				t.Errorf("%s, as %q: the backend is told of %q", kind, tt.user, story.Decision.Headers.Get("X-User"))
			}
		}
	}
}
