package model

// RoutePolicies are what a claim asks of its route, as the route has it too.
type RoutePolicies struct {
	// Restricted are the annotations that limit who may use the route, and are applied. Of such a route every other
	// spelling of its path is closed, because a backend may read it as the path while Envoy does not.
	Restricted Origins
	// Access is nil where everyone may use the route.
	Access *Access
	// RequestHeaders are changed on the way to the backend, ResponseHeaders on the way back, and on what the gateway
	// answers in the backend's place. Each is sorted by name, and has a name once.
	RequestHeaders, ResponseHeaders []HeaderChange
	// Rewrite is nil where the path goes to the backend as it is, but for a Strip and a ReplacePath, beside which only an
	// AddPrefix may stand, or none.
	Rewrite Rewrite
	// RootRedirect, HostRedirect and URLRedirect are nil for none. The first that answers does: a RootRedirect or a
	// URLRedirect, which never stand together, the HTTPSRedirect, the HostRedirect.
	RootRedirect *RootRedirect
	HostRedirect *HostRedirect
	URLRedirect  *URLRedirect
	// Weighted says that the targets' weights are as the Ingress gives them, and no even shares.
	Weighted bool
	// RateLimit is nil where a route may be asked as often as one likes. It holds for what goes on to a backend.
	RateLimit *RateLimit
	// ClientCertificate, where not nil, is what the backend is told of the client's certificate.
	ClientCertificate *PassedCertificate
	// Auth, where not nil, asks who the user is.
	Auth *Auth
}
