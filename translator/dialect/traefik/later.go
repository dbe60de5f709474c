package traefik

import "github.com/postern-gateway/postern/translator/dialect"

// laterTraefik are annotations of Traefik 2 and 3, which share the prefix. A middleware may be what guards the
// route, so it closes.
var laterTraefik = []dialect.Annotation{
	later(dialect.OnIngress, "router.entrypoints", "a list", "use frontend-entry-points"),
	restricting(later(dialect.OnIngress, "router.middlewares", "a list", "say the same by annotations of Traefik 1.7, such as auth-type or whitelist-source-range")),
	later(dialect.OnIngress, "router.priority", "a number", "use priority"),
	later(dialect.OnIngress, "router.pathmatcher", "PathPrefix or Path", "use pathType, or rule-type"),
	later(dialect.OnIngress, "router.rulesyntax", "v2 or v3", "rules are those of the Ingress"),
	later(dialect.OnIngress, "router.tls", "true or false", "give the Ingress a tls block"),
	later(dialect.OnIngress, "router.tls.certresolver", "a name", "name a Secret in the Ingress's tls block"),
	later(dialect.OnIngress, "router.tls.domains.0.main", "a host", "name a Secret in the Ingress's tls block"),
	restricting(later(dialect.OnIngress, "router.tls.options", "a name", "use postern.dev/client-ca-secret and postern.dev/tls-min-version")),
	later(dialect.OnService, "service.passhostheader", "true or false", "use preserve-host on the Ingress"),
	later(dialect.OnService, "service.serversscheme", "http, https or h2c", "use protocol on the Ingress, or postern.dev/backend-protocol"),
	later(dialect.OnService, "service.serverstransport", "a name", "use the postern.dev/upstream- annotations"),
	later(dialect.OnService, "service.sticky.cookie", "true or false", "use affinity"),
	later(dialect.OnService, "service.sticky.cookie.name", "a name", "use session-cookie-name"),
}

func later(on dialect.Kind, key, valueType, instead string) dialect.Annotation {
	return dialect.Annotation{
		Key: key, On: on, Type: valueType, Support: dialect.Refused,
		Family: "later Traefik", Case: "traefik/later",
		Doc: "An annotation of Traefik 2 and 3.", Note: "it belongs to Traefik 2 and 3; " + instead,
	}
}

func restricting(a dialect.Annotation) dialect.Annotation {
	a.Restricts = true
	return a
}
