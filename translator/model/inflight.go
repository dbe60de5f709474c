package model

// InFlight bounds how many requests to a Service are answered at once, by each key for itself. Each data plane counts for
// itself, and each route: the Service's other routes have counts of their own.
type InFlight struct {
	By RateKey
	// Most is how many; it is above 0. One more is answered 429.
	Most    uint32
	Origins Origins
}

// InFlightLimits are the limits of one route. No two count by one key.
type InFlightLimits struct {
	// Name tells the counts of one route from those of another; an edit of anything but host and path leaves it.
	Name string
	// Limits all hold.
	Limits []InFlight
}

// Add has a limit hold too. Of two that count by one key the lower one stands.
func (l *InFlightLimits) Add(limit InFlight) {
	for i, has := range l.Limits {
		if has.By != limit.By {
			continue
		}
		if limit.Most < has.Most {
			l.Limits[i] = limit
		}
		return
	}
	l.Limits = append(l.Limits, limit)
}

// Origins are the places of the limits.
func (l InFlightLimits) Origins() Origins {
	var out Origins
	for _, limit := range l.Limits {
		out = append(out, limit.Origins...)
	}
	return out
}
