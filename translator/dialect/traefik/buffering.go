package traefik

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/postern-gateway/postern/translator/diag"
	"github.com/postern-gateway/postern/translator/dialect"
	"github.com/postern-gateway/postern/translator/model"
)

var bufferings = []dialect.Annotation{{
	Key: "buffering", On: dialect.OnService, Type: "YAML: maxrequestbodybytes, retryexpression", Support: dialect.Approximated, Family: "services",
	Case: "services/buffering",
	Note: "maxrequestbodybytes, up to 64 MiB, has a request's body held in memory until it is whole, and a longer one answered 413; WebSockets pass. " +
		"A streaming call of gRPC is held until the client has ended its side. memrequestbodybytes has no effect, since nothing is put on disk. " +
		"Answers are passed on as they come: maxresponsebodybytes and memresponsebodybytes have no effect. " +
		"Of retryexpression, IsNetworkError() && Attempts() <= n is applied, and only while no endpoint has begun to take the request; " +
		"an answer of 502 or 504 is not tried again.",
	Doc:     "Bounds the bodies of requests, and has failed requests tried again.",
	Example: "maxrequestbodybytes: 10485760",
}}

// retryFunctions are those of oxy's buffer.
var retryFunctions = functions{"IsNetworkError": 0, "Attempts": 0, "ResponseCode": 0, "RequestMethod": 0}

// retriesMax is how often Traefik 1.7 tried again at most (oxy, buffer: DefaultMaxRetryAttempts).
const retriesMax = 10

// bufferingKeys are the keys, in the words of the docs.
const bufferingKeys = "maxrequestbodybytes, memrequestbodybytes, maxresponsebodybytes, memresponsebodybytes, retryexpression"

func readBuffering(r *dialect.Reader) model.Buffering {
	var out model.Buffering
	text, at, ok := r.Text("buffering")
	if !ok {
		return out
	}
	b := bufferingReader{r: r, at: at}
	values := map[string]yaml.Node{}
	if err := yaml.Unmarshal([]byte(text), &values); err != nil {
		b.bad("the value is no YAML of one key to a line", "nothing of it is applied")
		return out
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		value := values[key].Value
		switch key {
		case "maxrequestbodybytes":
			out.MaxRequest = b.maxRequest(value)
		case "retryexpression":
			out.Retries = b.retries(value)
		case "maxresponsebodybytes":
			if b.bytes(key, value) > 0 {
				b.r.Say(diag.New(diag.CodeWithoutEffect, at, "maxresponsebodybytes is not applied: answers are passed on as they come",
					"answers of any size pass", "bound them in the backend"))
			}
		case "memrequestbodybytes", "memresponsebodybytes":
			b.bytes(key, value)
		default:
			fix := "write one of " + bufferingKeys
			keys, lower := strings.Split(bufferingKeys, ", "), strings.ToLower(key)
			if near, ok := diag.Nearest(lower, keys); ok {
				fix = "did you mean " + near + "?"
			} else if slices.Contains(keys, lower) {
				fix = "write " + lower
			}
			r.Say(diag.New(diag.CodeBadValue, at, fmt.Sprintf("buffering has no key %q", key), "it has no effect", fix))
		}
	}
	return out
}

type bufferingReader struct {
	r  *dialect.Reader
	at diag.Origin
}

func (b bufferingReader) bad(message, effect string) {
	b.r.Say(diag.New(diag.CodeBadValue, b.at, message, effect, "write YAML of "+bufferingKeys))
}

// bytes reads a number of bytes, of which 0 and -1 are no limit; so is what is none, once that is said.
func (b bufferingReader) bytes(key, value string) int64 {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < -1 {
		b.r.Say(diag.New(diag.CodeBadValue, b.at, fmt.Sprintf("%s: %q is not a number of bytes", key, value), "it has no effect", "write a whole number"))
		return 0
	}
	return n
}

func (b bufferingReader) maxRequest(value string) *model.Word[uint32] {
	n := b.bytes("maxrequestbodybytes", value)
	if n > model.BodyMax {
		b.r.Say(diag.New(diag.CodeBadValue, b.at, fmt.Sprintf("maxrequestbodybytes: %d bytes are more than may be held in memory", n),
			"bodies of any size pass, and are not held", fmt.Sprintf("write %d or less", model.BodyMax)))
		return nil
	}
	if n < 1 {
		return nil
	}
	return &model.Word[uint32]{Value: uint32(n), Origin: b.at}
}

// retries reads how often a request is tried again.
func (b bufferingReader) retries(text string) *model.Word[uint32] {
	if text == "" {
		return nil
	}
	tree, err := parseExpression(text, retryFunctions)
	if err != nil {
		b.r.Say(diag.New(diag.CodeBadValue, b.at, fmt.Sprintf("retryexpression cannot be read: %s", err), "it has no effect",
			"write IsNetworkError() && Attempts() <= 2"))
		return nil
	}
	n, ok := retriesOf(tree)
	if !ok {
		b.r.Say(diag.New(diag.CodeWithoutEffect, b.at, fmt.Sprintf("retryexpression: %s is not applied: a request that an endpoint has answered is not sent again", tree.text()),
			"a request that no endpoint has begun to take is tried once more, as always", "write IsNetworkError() && Attempts() <= 2"))
		return nil
	}
	return &model.Word[uint32]{Value: n, Origin: b.at}
}

// retriesOf is how often IsNetworkError(), alone or with a bound on Attempts(), has a request tried again.
func retriesOf(e expression) (uint32, bool) {
	if c, ok := e.(call); ok {
		return retriesMax, c.name == "IsNetworkError"
	}
	both, ok := e.(joined)
	if !ok || both.or {
		return 0, false
	}
	if _, ok := both.left.(comparison); ok {
		both.left, both.right = both.right, both.left
	}
	network, isCall := both.left.(call)
	bound, isBound := both.right.(comparison)
	if !isCall || network.name != "IsNetworkError" || !isBound || bound.call.name != "Attempts" || bound.word != "" {
		return 0, false
	}
	n := bound.number
	if bound.operator == "<" {
		n--
	}
	if bound.operator != "<" && bound.operator != "<=" || n < 1 || n != float64(int(n)) {
		return 0, false
	}
	return uint32(min(n, retriesMax)), true
}
