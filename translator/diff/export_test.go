package diff

// Difference is where two behaviours part, for the messages of laws.
func Difference(x, y Behaviour) string {
	a, b := x.connection+"\n"+x.answer, y.connection+"\n"+y.answer
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	const around = 60
	show := func(s string) string { return s[max(0, i-around):min(len(s), i+around)] }
	return show(a) + "\nand\n" + show(b)
}
