package traefik

import (
	"fmt"
	"math"
	"strconv"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/model"
)

const (
	maxConnAmount    = "max-conn-amount"
	maxConnExtractor = "max-conn-extractor-func"
	// inFlightClosed is the effect of a limit that cannot be applied.
	inFlightClosed = "its routes answer 503, because it restricts access"
)

// concurrency are the limits of requests in flight. Traefik 1.7 needed both (provider/kubernetes: getMaxConn).
var concurrency = []dialect.Annotation{
	{
		Key: maxConnAmount, On: dialect.OnService, Type: "a number", Support: dialect.Approximated, Family: "access", Case: "access/max-conn",
		Note: "Every data plane counts for itself, as every Traefik did, and each host, path and entry has counts of its own. A WebSocket counts while it is open. " +
			"A request beyond the limit waits a quarter of a second for one that is ending before it is refused. " +
			"With Envoy the authorizer beside it counts: without it the routes answer 503, and should it crash, what it counts at that moment breaks off. " +
			"A path with several Services keeps the limits of all of them. client.ip is the peer, or what --trusted-proxies tell; request.host counts without case and port. " +
			"0 and less are no limit, as in Traefik 1.7; a value that does not parse, or one of the two without the other, closes the routes, where Traefik served them without limit.",
		Doc:     "Answers 429 to a request while so many are being answered, counted by max-conn-extractor-func.",
		Example: "10",
	},
	{
		Key: maxConnExtractor, On: dialect.OnService, Type: "client.ip, request.host or request.header.NAME", Support: dialect.Applied, Family: "access",
		Case:    "access/max-conn",
		Doc:     "By what max-conn-amount counts: the client's address, the host, or the first value of a header; requests without it count together.",
		Example: "client.ip",
	},
}

// readInFlight reads how many requests may be answered at once. What cannot be read closes the Service's routes.
func readInFlight(r *dialect.Reader) *model.InFlight {
	amount, at, hasAmount := r.Value(maxConnAmount)
	extractor, by, hasExtractor := r.Value(maxConnExtractor)
	if !hasAmount && !hasExtractor {
		return nil
	}
	closed := func(at diag.Origin, message, fix string) *model.InFlight {
		r.Close(diag.New(diag.CodeBadValue, at, message, inFlightClosed, fix))
		return nil
	}
	if !hasAmount {
		return closed(by, maxConnExtractor+" needs "+maxConnAmount, "add "+maxConnAmount+", or remove it")
	}
	n, err := strconv.ParseInt(amount, 10, 64)
	if err != nil || n > math.MaxUint32 {
		return closed(at, fmt.Sprintf("%q is not a number of requests", amount), fmt.Sprintf("write a whole number up to %d", uint32(math.MaxUint32)))
	}
	if n <= 0 {
		r.Say(diag.New(diag.CodeWithoutEffect, at, fmt.Sprintf("%d is no limit, as in Traefik 1.7", n), "any number of requests is answered at once",
			"write 1 or more, or remove it"))
		return nil
	}
	if !hasExtractor {
		return closed(at, maxConnAmount+" needs "+maxConnExtractor, "add "+maxConnExtractor+": client.ip")
	}
	key, ok := rateKey(extractor)
	if !ok {
		return closed(by, fmt.Sprintf("%q is not client.ip, request.host or request.header.NAME", extractor), "write client.ip, request.host or request.header.NAME")
	}
	return &model.InFlight{By: key, Most: uint32(n), Origins: model.Origins{at, by}}
}
