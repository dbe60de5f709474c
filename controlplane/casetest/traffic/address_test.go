package traffic

import "testing"

func TestFreeAddressIsAnotherEachTime(t *testing.T) {
	seen := map[string]bool{}
	for range 2000 {
		address := FreeAddress(t)
		if seen[address] {
			t.Fatalf("%s was given twice", address)
		}
		seen[address] = true
	}
}
