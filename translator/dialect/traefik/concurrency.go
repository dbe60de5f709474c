package traefik

import "github.com/postern-gateway/postern/translator/dialect"

// noConcurrency is why requests in flight are not limited. Envoy's circuit breakers count those of all clients together: a
// limit that was meant for each client would stop a busy site, or stop nobody where it is made large enough.
const noConcurrency = "Envoy counts the requests in flight of all clients together, never by client, host or header; use rate-limit on the Ingress, which bounds how often each of them asks"

// concurrency are the limits of requests in flight. Either closes the routes, although Traefik needed both.
var concurrency = []dialect.Annotation{
	{
		Key: "max-conn-amount", On: dialect.OnService, Type: "a number", Support: dialect.Refused, Family: "access", Case: "access/max-conn",
		Note: noConcurrency, Doc: "Answers 429 to more concurrent requests than this, counted by max-conn-extractor-func.", Example: "10",
	},
	{
		Key: "max-conn-extractor-func", On: dialect.OnService, Type: "client.ip, request.host or request.header.NAME", Support: dialect.Refused, Family: "access", Case: "access/max-conn",
		Note: noConcurrency, Doc: "By what max-conn-amount counts.", Example: "client.ip",
	},
}
