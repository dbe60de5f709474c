package inspect

import "testing"

// BenchmarkOverview is the page with the most to look at, of 5,000 Ingresses, once the index is made.
func BenchmarkOverview(b *testing.B) {
	s := siteOf(b, viewOf(b, many(5000)))
	s.get("/")
	for b.Loop() {
		s.get("/")
	}
}
