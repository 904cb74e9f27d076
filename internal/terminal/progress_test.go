package terminal

import "testing"

// E7. A line is never longer than the terminal is wide.
func TestALineWithinATerminal(t *testing.T) {
	line := "sweep " + drawBar(123_456_789, 987_654_321) +
		", 12345 rows/s, 99999 migrated, 10 quarantined, throttled by maxRowsPerSecond ä"
	for _, width := range []int{2, 3, 40, 80, 132, len([]rune(line)), len([]rune(line)) + 1} {
		if got := []rune(within(line, width)); len(got) >= width {
			t.Errorf("%d runes in %d columns", len(got), width)
		}
	}
	if within(line, 0) != line || within(line, 400) != line {
		t.Error("a line is cut off without need")
	}
}
