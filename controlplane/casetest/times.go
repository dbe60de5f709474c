package casetest

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

const (
	// timesMax bounds how often one probe is sent.
	timesMax = 500
	// deviationsMax is how far from its share a count may lie, in standard deviations of a fair draw: chance goes beyond
	// it once in a million counts.
	deviationsMax = 5
)

// Share is a part of a probe's answers; the zero Share is any part but none.
type Share struct{ Part, Of int }

func parseShare(text string) (Share, error) {
	part, of, _ := strings.Cut(text, "/")
	n, err := strconv.Atoi(part)
	m, errOf := strconv.Atoi(of)
	if err != nil || errOf != nil || n < 1 || m <= n {
		return Share{}, fmt.Errorf("%q: write a share as 1/3", text)
	}
	return Share{n, m}, nil
}

// try sends a probe as often as it says, and tells what is wrong with the answers.
func try(judge Judge, p Probe) ([]string, error) {
	met := make([]int, 1+len(p.Or))
	for range max(p.Times, 1) {
		a, err := judge.Ask(p)
		if err != nil {
			return nil, err
		}
		i, differences := p.meets(a)
		if len(differences) > 0 {
			return differences, nil
		}
		met[i]++
	}
	return p.uneven(met), nil
}

// wants are the answers that a probe may get.
func (p Probe) wants() []Want { return append([]Want{p.Want}, p.Or...) }

// meets is the first of the wanted answers that this one is. Where it is none, the differences are those from the
// nearest.
func (p Probe) meets(a Answer) (int, []string) {
	var nearest []string
	for i, w := range p.wants() {
		differences := w.Differences(a)
		if len(differences) == 0 {
			return i, nil
		}
		if nearest == nil || len(differences) < len(nearest) {
			nearest = differences
		}
	}
	return -1, nearest
}

// uneven tells of the wanted answers that came too seldom or too often; met counts them.
func (p Probe) uneven(met []int) []string {
	var out []string
	for i, w := range p.wants() {
		few, many := 1, p.Times
		if w.Share.Of > 0 {
			n, part := float64(p.Times), float64(w.Share.Part)/float64(w.Share.Of)
			spread := deviationsMax * math.Sqrt(n*part*(1-part))
			few, many = max(few, int(math.Ceil(n*part-spread))), int(n*part+spread)
		}
		if p.Times > 1 && (met[i] < few || met[i] > many) {
			out = append(out, fmt.Sprintf("answer %d of %d: want it %d to %d times in %d, got it %d times", i+1, len(met), few, many, p.Times, met[i]))
		}
	}
	return out
}
