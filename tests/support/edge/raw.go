package main

import "net"

// Raw is an origin that speaks no HTTP. It takes connections, and counts them.
type raw struct {
	name     string
	listener net.Listener
}

func listenRaw(names []string) ([]*raw, error) {
	var all []*raw
	for _, name := range names {
		listener, err := net.Listen("tcp", name)
		if err != nil {
			return nil, err
		}
		all = append(all, &raw{name, listener})
	}
	return all, nil
}

// Settle says how many connections there were since it was called last. They wait in a row, so that a connection of its own
// stands behind all of them.
func (raw *raw) settle() (int, error) {
	own, err := net.Dial("tcp", raw.name)
	if err != nil {
		return 0, err
	}
	defer own.Close()
	for count := 0; ; count++ {
		taken, err := raw.listener.Accept()
		if err != nil {
			return 0, err
		}
		taken.Close()
		if taken.RemoteAddr().String() == own.LocalAddr().String() {
			return count, nil
		}
	}
}
