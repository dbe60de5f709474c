package identity

import "time"

// Look gives what Watch does at each tick.
func Look(f *Folder) func() {
	var w watcher
	return func() { w.look(f, time.Now()) }
}
