package proxy

import (
	"io"
	"net/http"
	"strings"

	"github.com/postern-gateway/postern/dataplane/config"
)

// pageLookedAtMax is how many bytes of a page base-v2 looks at.
const pageLookedAtMax = 64 * 1024

// rewriteBase is the script base-v2 in Go: it puts the base element of a page under the prefix that the route stripped.
// docs/design/rewrite-base.md says what it does; the pages of its test go through the Lua source on Envoy too.
func rewriteBase(b *config.Base, response *http.Response) {
	if changeable(response) {
		response.Body = &pageBody{source: response.Body, page: newPage(b)}
	}
}

// changeable says whether the response is a page that can be changed, and has its header promise nothing of its bytes.
func changeable(response *http.Response) bool {
	h := response.Header
	if response.StatusCode == http.StatusNotModified {
		weaken(h) // it names no type; its tag must be the page's
		return false
	}
	kind, _, _ := strings.Cut(strings.Join(h["Content-Type"], ","), ";")
	encoding := strings.Join(h["Content-Encoding"], ",")
	if response.StatusCode == http.StatusSwitchingProtocols || response.StatusCode == http.StatusPartialContent || !strings.EqualFold(strings.Trim(kind, blank), "text/html") ||
		encoding != "" && !strings.EqualFold(encoding, "identity") {
		return false
	}
	weaken(h)
	for _, name := range []string{"Content-Length", "Accept-Ranges", "Content-Digest", "Repr-Digest", "Digest", "Content-Md5"} {
		delete(h, name)
	}
	return true
}

// weaken says that the bytes may differ while the page is the same (RFC 9110, 8.8.1).
func weaken(h http.Header) {
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) {
		h["Etag"] = []string{"W/" + tag}
	}
}

// pageBody is a page's body on its way to the client. It gives what there is as soon as it comes.
type pageBody struct {
	source io.ReadCloser
	page   *page
	ready  []byte // of the page, to be read
	err    error  // of the source, once ready is read
}

// Read implements io.Reader.
func (b *pageBody) Read(p []byte) (int, error) {
	for len(b.ready) == 0 && b.err == nil {
		if b.page.done {
			return b.source.Read(p)
		}
		var n int
		n, b.err = b.source.Read(p)
		b.ready = b.page.rewrite(p[:n])
		if b.err != nil {
			b.ready = append(b.ready, b.page.held...)
		}
	}
	if len(b.ready) == 0 {
		return 0, b.err
	}
	n := copy(p, b.ready)
	b.ready = b.ready[n:]
	return n, nil
}

// Close implements io.Closer.
func (b *pageBody) Close() error { return b.source.Close() }

// rawElements are the elements whose content is no markup; it ends with their own end tag.
var rawElements = map[string]bool{
	"iframe": true, "noembed": true, "noframes": true, "noscript": true, "script": true, "style": true, "textarea": true,
	"title": true, "xmp": true,
}

// beforeBase are the elements that may stand before a base element (HTML, 4.2.3: what takes a URL may not).
var beforeBase = map[string]bool{"html": true, "head": true, "meta": true, "title": true, "base": true}

// beforeBaseMax is the length of the longest of their names.
const beforeBaseMax = len("title")

// nameMax is how much of a name is kept: more than the longest of interest has.
const nameMax = 16

// A page is read byte by byte, as HTML's tokenizer would (HTML, 13.2.5), until its base element is settled.
type page struct {
	prefix  string
	inserts bool

	state func(*page, byte)
	left  int  // bytes that may still be looked at
	done  bool // the base is settled, or left is used up

	out     []byte
	holding bool   // held gets the bytes in place of out
	held    []byte // the beginning of a tag before which a base may have to stand

	name      []byte // of the start tag at hand, lower case; empty in an end tag
	attribute []byte // lower case
	quote     byte   // of the value at hand, 0 for none
	matched   int    // bytes of the prefix, or of an end tag, that went by
	all, own  int    // dashes that went by in a comment, with and without those of its <!--
	bang      bool   // a ! that followed own dashes
}

func newPage(b *config.Base) *page {
	return &page{prefix: b.Prefix, inserts: b.Insert, left: pageLookedAtMax, state: (*page).text}
}

// rewrite takes the next bytes of the page and gives what can flow. The result is good until the next call.
func (p *page) rewrite(chunk []byte) []byte {
	p.out = p.out[:0]
	for i, c := range chunk {
		if p.left == 0 {
			p.done = true
		}
		if p.done {
			p.release()
			return append(p.out, chunk[i:]...)
		}
		p.left--
		p.state(p, c)
		if p.holding {
			p.held = append(p.held, c)
		} else {
			p.out = append(p.out, c)
		}
	}
	return p.out
}

// insert puts text before the byte at hand.
func (p *page) insert(text string) { p.out = append(p.out, text...) }

// release lets flow what was held back.
func (p *page) release() {
	p.out = append(p.out, p.held...)
	p.held, p.holding = p.held[:0], false
}

func (p *page) text(c byte) {
	if c == '<' {
		p.holding, p.state = p.inserts, (*page).opened
	}
}

// opened is behind a <.
func (p *page) opened(c byte) {
	if isLetter(c) {
		p.name, p.state = append(p.name[:0], lower(c)), (*page).startTag
		return
	}
	p.release()
	p.name = p.name[:0]
	switch c {
	case '/':
		p.state = (*page).endOpened
	case '!':
		p.state = (*page).declaration
	case '?':
		p.state = (*page).bogus
	default:
		p.state = (*page).text
		p.text(c)
	}
}

// startTag is in the name of a start tag.
func (p *page) startTag(c byte) {
	ends := endsTagName(c)
	if !ends {
		p.name = appendName(p.name, c)
	}
	if p.inserts && (ends && !beforeBase[string(p.name)] || len(p.name) > beforeBaseMax) {
		p.insert(`<base href="` + p.prefix + `/">`)
		p.release()
		p.done = true
	} else if ends {
		p.release()
		p.attributes(c)
	}
}

// endOpened is behind a </.
func (p *page) endOpened(c byte) {
	if isLetter(c) {
		p.state = (*page).endTag
		return
	}
	p.bogus(c)
}

// endTag is in the name of an end tag.
func (p *page) endTag(c byte) {
	if endsTagName(c) {
		p.attributes(c)
	}
}

// bogus is in what ends with the next >.
func (p *page) bogus(c byte) {
	p.state = (*page).bogus
	if c == '>' {
		p.state = (*page).text
	}
}

// declaration is behind a <!.
func (p *page) declaration(c byte) {
	if c == '-' {
		p.state = (*page).declarationDash
		return
	}
	p.bogus(c)
}

func (p *page) declarationDash(c byte) {
	if c == '-' {
		p.all, p.own, p.bang, p.state = 2, 0, false, (*page).comment
		return
	}
	p.bogus(c)
}

// comment ends with --> or --!>; <!--> and <!---> are whole comments.
func (p *page) comment(c byte) {
	switch {
	case c == '-':
		p.all, p.own, p.bang = p.all+1, p.own+1, false
	case c == '>' && (p.all >= 2 || p.bang):
		p.state = (*page).text
	default:
		p.bang = c == '!' && p.own >= 2
		p.all, p.own = 0, 0
	}
}

// attributes is in a tag, outside of its attributes.
func (p *page) attributes(c byte) {
	p.state = (*page).attributes
	switch {
	case c == '>' && rawElements[string(p.name)]:
		p.matched, p.state = 0, (*page).content
	case c == '>':
		p.state = (*page).text
	case isBlank(c) || c == '/':
	default: // a name may begin with a =
		p.attribute, p.state = append(p.attribute[:0], lower(c)), (*page).attributeName
	}
}

func (p *page) attributeName(c byte) {
	if endsTagName(c) || c == '=' {
		p.afterName(c)
		return
	}
	p.attribute = appendName(p.attribute, c)
}

// afterName is behind the name of an attribute.
func (p *page) afterName(c byte) {
	switch {
	case isBlank(c):
		p.state = (*page).afterName
	case c == '=':
		p.state = (*page).beforeValue
	case p.atAddress(): // an empty one
		p.done = true
	default:
		p.attributes(c)
	}
}

// atAddress says whether the attribute at hand is the href of a base element.
func (p *page) atAddress() bool { return string(p.name) == "base" && string(p.attribute) == "href" }

func (p *page) beforeValue(c byte) {
	quotes := c == '"' || c == '\''
	switch {
	case isBlank(c):
		return
	case quotes:
		p.quote, p.state = c, (*page).quoted
	default:
		p.quote, p.state = 0, (*page).unquoted
	}
	if p.atAddress() {
		p.state = (*page).address
	}
	if !quotes {
		p.state(p, c)
	}
}

func (p *page) quoted(c byte) {
	if c == p.quote {
		p.state = (*page).attributes
	}
}

func (p *page) unquoted(c byte) {
	if isBlank(c) || c == '>' {
		p.attributes(c)
	}
}

// address is at the beginning of a base's href.
func (p *page) address(c byte) {
	switch {
	case isBlank(c):
	case c == '/':
		p.matched, p.state = 1, (*page).rooted
	default:
		// A relative base counts from the page's own address, which lacks the slash where inserts says so.
		if p.inserts && (c == '.' || p.endsValue(c)) {
			p.insert(p.prefix + "/")
		}
		p.done = true
	}
}

// rooted is in an href that begins as the prefix does.
func (p *page) rooted(c byte) {
	if p.matched < len(p.prefix) && c == p.prefix[p.matched] {
		p.matched++
		return
	}
	under := p.matched == len(p.prefix) && (p.endsValue(c) || isBlank(c) || c == '/' || c == '?' || c == '#')
	toHost := p.matched == 1 && (c == '/' || c == '\\')
	if !under && !toHost {
		// What went by is the beginning of the prefix too: with the rest of the prefix and itself again it is both.
		p.insert(p.prefix[p.matched:] + p.prefix[:p.matched])
	}
	p.done = true
}

// endsValue says whether c ends the value at hand.
func (p *page) endsValue(c byte) bool { return c == p.quote || p.quote == 0 && c == '>' }

// content is in a raw element: matched counts the bytes of its end tag.
func (p *page) content(c byte) {
	const opening = len("</")
	switch letters := p.matched - opening; {
	case c == '<':
		p.matched = 1
	case p.matched == 1 && c == '/':
		p.matched = opening
	case letters == len(p.name) && endsTagName(c):
		p.name = p.name[:0]
		p.attributes(c)
	case letters >= 0 && letters < len(p.name) && lower(c) == p.name[letters]:
		p.matched++
	default:
		p.matched = 0
	}
}

// appendName adds to a name what may count of it.
func appendName(name []byte, c byte) []byte {
	if len(name) >= nameMax {
		return name
	}
	return append(name, lower(c))
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r' }

func endsTagName(c byte) bool { return isBlank(c) || c == '/' || c == '>' }

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}
