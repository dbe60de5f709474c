package inspect

import (
	"fmt"
	"unicode/utf8"
)

// The picture of a host: columns of boxes from left to right, joined by lines.
const (
	pictureRoutesMax    = 10
	pictureEndpointsMax = 4
	boxHeight           = 30
	boxGap              = 8
	boxWidth            = 215
	columnGap           = 58
	pictureMargin       = 6
	// boxTextMax is how many characters a box takes.
	boxTextMax = 27
)

// picture is host, routes, Services and endpoints as boxes. The table beside it says the same in words.
type picture struct {
	Width, Height int
	// Title and Description are for those who do not see it.
	Title, Description string
	Boxes              []box
	Lines              []line
	// More is how many routes are left out.
	More int
}

// box is one of a column.
type box struct {
	X, Y, Width, Height int
	// Text is cut to what fits; Full is all of it.
	Text, Full string
	Kind       string
	State      state
	Link       string
}

// TextX and TextY are where the text begins.
func (b box) TextX() int { return b.X + 26 }

// TextY is the text's base line.
func (b box) TextY() int { return b.Y + b.Height/2 + 5 }

// MarkX is where the mark of the state is.
func (b box) MarkX() int { return b.X + 9 }

// line joins two boxes.
type line struct {
	Path  string
	State state
}

// drawing lays boxes out.
type drawing struct {
	picture
	// next is where the next box of a column begins.
	next [4]int
	at   map[string]int
}

// picture draws a host with the first of its routes.
func (v View) picture(h *hostRoutes, routes []routeRow) picture {
	d := &drawing{at: map[string]int{}}
	shown := routes[:min(len(routes), pictureRoutesMax)]
	var ofHost []int
	services := map[string]bool{}
	for i, r := range shown {
		route := d.add(1, fmt.Sprintf("route %d", i), box{Text: r.Path, Kind: "route", State: r.Health.State, Link: r.ExplainLink})
		ofHost = append(ofHost, route)
		if r.Closed != "" {
			d.join(route, d.add(2, "closed "+r.Health.State.String(), box{Text: "closed: answers 503", Kind: "closed", State: r.Health.State}))
			continue
		}
		for _, t := range r.Targets {
			if t.Backend == "" {
				d.join(route, d.add(2, "closed failing", box{Text: "closed: answers 503", Kind: "closed", State: stateFailing}))
				continue
			}
			service := d.add(2, t.Backend, box{Text: t.Backend, Kind: "service", State: t.Health.State, Link: t.Link})
			d.join(route, service)
			if !services[t.Backend] {
				services[t.Backend] = true
				v.drawEndpoints(d, service, t.Backend)
			}
		}
	}
	height := max(d.next[1], d.next[2], d.next[3], boxHeight)
	host := d.add(0, "host", box{Text: h.name, Kind: "host", State: v.hostHealth(h).State, Y: (d.next[1] - boxGap - boxHeight) / 2})
	for _, route := range ofHost {
		d.join(host, route)
	}
	d.Width, d.Height = 4*boxWidth+3*columnGap+2*pictureMargin, height+2*pictureMargin
	d.More = len(h.routes) - len(shown)
	d.Title = "Where requests for " + h.name + " go"
	d.Description = fmt.Sprintf("%s on the left, then %s, %s and their endpoints; the table of routes says the same.",
		h.name, plural(len(shown), "route"), plural(len(services), "Service"))
	return d.picture
}

func (v View) drawEndpoints(d *drawing, service int, name string) {
	x := v.index()
	a := x.assignments[x.backends[name].Assignment]
	rows := endpointRows(a, x)
	if len(rows) == 0 {
		d.join(service, d.add(3, name+" none", box{Text: "no endpoints", Kind: "endpoint", State: stateFailing}))
		return
	}
	for i, e := range rows {
		if i == pictureEndpointsMax-1 && len(rows) > pictureEndpointsMax {
			more := fmt.Sprintf("and %d more", len(rows)-i)
			d.join(service, d.add(3, name+" more", box{Text: more, Kind: "endpoint", Link: link("service", "backend", name)}))
			return
		}
		text := e.Address.String()
		if len(e.Ports) > 0 {
			text = fmt.Sprintf("%s:%d", text, e.Ports[0])
		}
		if e.State() != stateOK {
			text += " " + e.Words()
		}
		d.join(service, d.add(3, name+" "+e.Cluster+" "+text, box{Text: text, Kind: "endpoint", State: e.State()}))
	}
}

// add puts a box into a column, unless it is there, and gives its number.
func (d *drawing) add(column int, key string, b box) int {
	key = fmt.Sprintf("%d %s", column, key)
	if i, ok := d.at[key]; ok {
		return i
	}
	if b.Y == 0 {
		b.Y = d.next[column]
	}
	d.next[column] = b.Y + boxHeight + boxGap
	b.X, b.Y = pictureMargin+column*(boxWidth+columnGap), b.Y+pictureMargin
	b.Width, b.Height, b.Full = boxWidth, boxHeight, b.Text
	if utf8.RuneCountInString(b.Text) > boxTextMax {
		b.Text = shortened(b.Text)
	}
	d.Boxes = append(d.Boxes, b)
	d.at[key] = len(d.Boxes) - 1
	return len(d.Boxes) - 1
}

// shortened keeps both ends: the beginning says whose it is, the end tells it from others.
func shortened(text string) string {
	runes := []rune(text)
	return string(runes[:boxTextMax/2]) + "…" + string(runes[len(runes)-boxTextMax/2:])
}

func (d *drawing) join(from, to int) {
	a, b := d.Boxes[from], d.Boxes[to]
	x1, y1, x2, y2 := a.X+a.Width, a.Y+a.Height/2, b.X, b.Y+b.Height/2
	middle := (x1 + x2) / 2
	path := fmt.Sprintf("M%d %d C%d %d %d %d %d %d", x1, y1, middle, y1, middle, y2, x2, y2)
	for _, l := range d.Lines {
		if l.Path == path {
			return
		}
	}
	d.Lines = append(d.Lines, line{path, b.State})
}
