package inspect

import (
	"context"
	"strings"
	"testing"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	statusv3 "github.com/envoyproxy/go-control-plane/envoy/service/status/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/postern-gateway/postern/controlplane/xds"
	"github.com/postern-gateway/postern/translator/envoy"
)

// dial is a connection of gRPC to a listener.
func dial(t testing.TB, l *Listener) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), waitMax)
	t.Cleanup(cancel)
	return ctx
}

// TestCSDS: each proxy with what it accepted and refused, in Envoy's words.
func TestCSDS(t *testing.T) {
	l := newLive(t)
	client := statusv3.NewClientStatusDiscoveryServiceClient(dial(t, serve(t, l.inspector, Flags{})))
	ctx := testContext(t)
	if _, err := client.FetchClientStatus(ctx, &statusv3.ClientStatusRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("before the first publication: %v", err)
	}
	l.publish(shop)
	l.proxy("good", takesAll)
	l.proxy("bad", func(name string) string { return name + " is not wanted" })
	l.settled(2, 1)
	got, err := client.FetchClientStatus(ctx, &statusv3.ClientStatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.GetConfig()) != 2 || got.GetConfig()[0].GetNode().GetId() != "bad" || got.GetConfig()[1].GetNode().GetUserAgentName() != "tester" {
		t.Fatalf("clients %v", got.GetConfig())
	}
	snapshot, _ := l.server.Snapshot()
	version, _ := snapshot.Version(envoy.TypeCluster, "default/shop/80")
	bad, good := got.GetConfig()[0].GetGenericXdsConfigs()[0], got.GetConfig()[1].GetGenericXdsConfigs()[0]
	if good.GetTypeUrl() != envoy.TypeCluster || good.GetName() != "default/shop/80" || good.GetVersionInfo() != version ||
		good.GetConfigStatus() != statusv3.ConfigStatus_SYNCED || good.GetClientStatus() != adminv3.ClientResourceStatus_ACKED ||
		good.GetErrorState() != nil || !good.GetLastUpdated().AsTime().Equal(l.now) || good.GetXdsConfig().GetTypeUrl() != envoy.TypeCluster {
		t.Errorf("good: %v", good)
	}
	if bad.GetConfigStatus() != statusv3.ConfigStatus_ERROR || bad.GetClientStatus() != adminv3.ClientResourceStatus_NACKED ||
		!strings.Contains(bad.GetErrorState().GetDetails(), "is not wanted") || bad.GetErrorState().GetVersionInfo() != version || bad.GetErrorState().GetLastUpdateAttempt() == nil {
		t.Errorf("bad: %v", bad)
	}
	stream, err := client.StreamClientStatus(ctx)
	if err != nil {
		t.Fatal(err)
	}
	exact := func(id string) *matcherv3.NodeMatcher {
		return &matcherv3.NodeMatcher{NodeId: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: id}}}
	}
	for _, want := range []string{"good", "bad"} {
		if err := stream.Send(&statusv3.ClientStatusRequest{NodeMatchers: []*matcherv3.NodeMatcher{exact(want)}, ExcludeResourceContents: true}); err != nil {
			t.Fatal(err)
		}
		got, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if len(got.GetConfig()) != 1 || got.GetConfig()[0].GetNode().GetId() != want || got.GetConfig()[0].GetGenericXdsConfigs()[0].GetXdsConfig() != nil {
			t.Errorf("asked for %s: %v", want, got)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	_, err = client.FetchClientStatus(ctx, &statusv3.ClientStatusRequest{NodeMatchers: []*matcherv3.NodeMatcher{{NodeId: &matcherv3.StringMatcher{
		MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: "("}},
	}}}})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("a broken matcher: %v", err)
	}
}

// TestCSDSCredential: calls of gRPC pass the same guard as pages.
func TestCSDSCredential(t *testing.T) {
	l := newLive(t)
	l.publish(shop)
	listener := serve(t, l.inspector, Flags{TokenFile: writeFile(t, "token", testToken)})
	conn := dial(t, listener)
	client := statusv3.NewClientStatusDiscoveryServiceClient(conn)
	for name, tt := range map[string]struct {
		pairs []string
		want  codes.Code
	}{
		"nothing":       {nil, codes.Unauthenticated},
		"a wrong token": {[]string{"authorization", "Bearer " + testToken + "x"}, codes.Unauthenticated},
		"the token":     {[]string{"authorization", "Bearer " + testToken}, codes.OK},
		"a page's call": {[]string{"authorization", "Bearer " + testToken, "origin", "http://evil.test"}, codes.PermissionDenied},
	} {
		ctx := metadata.AppendToOutgoingContext(testContext(t), tt.pairs...)
		if _, err := client.FetchClientStatus(ctx, &statusv3.ClientStatusRequest{}); status.Code(err) != tt.want {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
		stream, err := client.StreamClientStatus(ctx)
		if err == nil {
			// Where it is refused already, sending says so or not; receiving does.
			_ = stream.Send(&statusv3.ClientStatusRequest{})
			_, err = stream.Recv()
		}
		if status.Code(err) != tt.want {
			t.Errorf("%s, as a stream: %v, want %v", name, err, tt.want)
		}
	}
	ctx := metadata.AppendToOutgoingContext(testContext(t), "authorization", "Bearer "+testToken)
	for _, method := range []string{
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
		"/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
	} {
		stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
		if err == nil {
			err = stream.RecvMsg(&statusv3.ClientStatusResponse{})
		}
		if status.Code(err) != codes.Unimplemented {
			t.Errorf("%s: %v", method, err)
		}
	}
}

// TestCSDSIsBounded: beyond the bound there is an answer at once.
func TestCSDSIsBounded(t *testing.T) {
	l := newLive(t)
	l.publish(shop)
	s := &csds{inspector: l.inspector, answers: make(chan struct{}, 1)}
	s.answers <- struct{}{}
	if _, err := s.answer(&statusv3.ClientStatusRequest{}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("one too many: %v", err)
	}
	<-s.answers
	if _, err := s.answer(&statusv3.ClientStatusRequest{}); err != nil {
		t.Error(err)
	}
}

// TestHoldings: how a proxy stands to what is served.
func TestHoldings(t *testing.T) {
	v := func(version string) []xds.NamedVersion { return []xds.NamedVersion{{Name: "a", Version: version}} }
	for name, tt := range map[string]struct {
		state  xds.TypeState
		served string
		config statusv3.ConfigStatus
		client adminv3.ClientResourceStatus
	}{
		"accepted":                     {xds.TypeState{Accepted: v("2")}, "2", statusv3.ConfigStatus_SYNCED, adminv3.ClientResourceStatus_ACKED},
		"on its way":                   {xds.TypeState{Pending: []string{"a"}}, "2", statusv3.ConfigStatus_STALE, adminv3.ClientResourceStatus_REQUESTED},
		"on its way, an older one had": {xds.TypeState{Accepted: v("1"), Pending: []string{"a"}}, "2", statusv3.ConfigStatus_STALE, adminv3.ClientResourceStatus_ACKED},
		"held back":                    {xds.TypeState{Pending: []string{"a"}, Unsent: []string{"a"}}, "2", statusv3.ConfigStatus_NOT_SENT, adminv3.ClientResourceStatus_REQUESTED},
		"refused":                      {xds.TypeState{Accepted: v("1"), Refused: v("2")}, "2", statusv3.ConfigStatus_ERROR, adminv3.ClientResourceStatus_NACKED},
		"refused, and mended":          {xds.TypeState{Refused: v("1"), Pending: []string{"a"}}, "2", statusv3.ConfigStatus_STALE, adminv3.ClientResourceStatus_NACKED},
		"not there":                    {xds.TypeState{Subscribed: []string{"a"}}, "", statusv3.ConfigStatus_SYNCED, adminv3.ClientResourceStatus_DOES_NOT_EXIST},
		"being removed":                {xds.TypeState{Accepted: v("1"), Pending: []string{"a"}, Unsent: []string{"a"}}, "", statusv3.ConfigStatus_NOT_SENT, adminv3.ClientResourceStatus_ACKED},
	} {
		config, client := newHoldings(tt.state).status("a", tt.served)
		if config != tt.config || client != tt.client {
			t.Errorf("%s: %v, %v; want %v, %v", name, config, client, tt.config, tt.client)
		}
	}
}

// TestNodeMatchers: one of several is enough, and of one every part must match.
func TestNodeMatchers(t *testing.T) {
	node := &corev3.Node{Id: "Envoy-1", Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{
		"zone": structpb.NewStringValue("eu"), "weight": structpb.NewNumberValue(3), "canary": structpb.NewBoolValue(true), "none": structpb.NewNullValue(),
		"in": structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"list": structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{
			structpb.NewStringValue("a"), structpb.NewStringValue("b"),
		}})}}),
	}}}
	text := func(m *matcherv3.StringMatcher) *matcherv3.ValueMatcher {
		return &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_StringMatch{StringMatch: m}}
	}
	exact := func(s string) *matcherv3.StringMatcher {
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: s}}
	}
	data := func(value *matcherv3.ValueMatcher, path ...string) *matcherv3.NodeMatcher {
		m := &matcherv3.StructMatcher{Value: value}
		for _, key := range path {
			m.Path = append(m.Path, &matcherv3.StructMatcher_PathSegment{Segment: &matcherv3.StructMatcher_PathSegment_Key{Key: key}})
		}
		return &matcherv3.NodeMatcher{NodeMetadatas: []*matcherv3.StructMatcher{m}}
	}
	id := func(m *matcherv3.StringMatcher) *matcherv3.NodeMatcher { return &matcherv3.NodeMatcher{NodeId: m} }
	both := data(text(exact("eu")), "zone")
	both.NodeId = exact("other")
	for name, tt := range map[string]struct {
		matcher *matcherv3.NodeMatcher
		want    bool
	}{
		"exact":             {id(exact("Envoy-1")), true},
		"another case":      {id(exact("envoy-1")), false},
		"whatever case":     {id(&matcherv3.StringMatcher{IgnoreCase: true, MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: "ENVOY"}}), true},
		"suffix":            {id(&matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Suffix{Suffix: "-2"}}), false},
		"contains":          {id(&matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Contains{Contains: "voy"}}), true},
		"regex":             {id(&matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: `Envoy-\d`}}}), true},
		"a part of regex":   {id(&matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: `Envoy`}}}), false},
		"metadata":          {data(text(exact("eu")), "zone"), true},
		"other metadata":    {data(text(exact("us")), "zone"), false},
		"no such metadata":  {data(text(exact("eu")), "in", "zone"), false},
		"metadata, not id":  {both, false},
		"number":            {data(&matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_DoubleMatch{DoubleMatch: &matcherv3.DoubleMatcher{MatchPattern: &matcherv3.DoubleMatcher_Exact{Exact: 3}}}}, "weight"), true},
		"bool":              {data(&matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_BoolMatch{BoolMatch: false}}, "canary"), false},
		"null":              {data(&matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_NullMatch_{}}, "none"), true},
		"present":           {data(&matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_PresentMatch{PresentMatch: true}}, "zone"), true},
		"absent":            {data(&matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_PresentMatch{PresentMatch: true}}, "x"), false},
		"an item of a list": {data(&matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_ListMatch{ListMatch: &matcherv3.ListMatcher{MatchPattern: &matcherv3.ListMatcher_OneOf{OneOf: text(exact("b"))}}}}, "in", "list"), true},
		"one or the other":  {data(&matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_OrMatch{OrMatch: &matcherv3.OrMatcher{ValueMatchers: []*matcherv3.ValueMatcher{text(exact("us")), text(exact("eu"))}}}}, "zone"), true},
	} {
		match, err := parseNodeMatchers([]*matcherv3.NodeMatcher{id(exact("nobody")), tt.matcher})
		if err != nil {
			t.Fatal(err)
		}
		if got := match(node); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
