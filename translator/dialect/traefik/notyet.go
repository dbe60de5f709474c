package traefik

import "github.com/postern-gateway/postern/translator/dialect"

// notYet are the annotations of Traefik 1.7 that have no effect yet. Those that restrict access close their routes.
var notYet = []dialect.Annotation{
	ingress("auth-type", "basic, digest or forward", "Asks who the user is."),
	ingress("auth-secret", "a Secret's name", "The users of basic and digest."),
	ingress("auth-realm", "a name", "The realm shown."),
	ingress("auth-header-field", "a header's name", "Carries the user's name to the backend."),
	ingress("auth-remove-header", "true or false", "Drops Authorization before the backend."),
	ingress("auth-url", "a URL", "The server that forward asks."),
	ingress("auth-trust-headers", "true or false", "Passes X-Forwarded headers to that server."),
	ingress("auth-response-headers", "a list of header names", "Copied from its answer to the request."),
	ingress("auth-tls-secret", "a Secret's name", "Client certificate towards that server."),
	ingress("auth-tls-insecure", "true or false", "Does not verify that server."),
}

func ingress(key, valueType, doc string) dialect.Annotation {
	return dialect.Annotation{Key: key, On: dialect.OnIngress, Type: valueType, Support: dialect.NotYet, Doc: doc}
}

func aliased(key, alias, valueType, doc string) dialect.Annotation {
	a := ingress(key, valueType, doc)
	a.Aliases = []string{alias}
	return a
}

func service(key, valueType, doc string, aliases ...string) dialect.Annotation {
	return dialect.Annotation{Key: key, On: dialect.OnService, Type: valueType, Support: dialect.NotYet, Doc: doc, Aliases: aliases}
}
