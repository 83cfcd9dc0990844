package main

import (
	"encoding/binary"
	"io"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// answer makes the reply to one query, at most limit bytes long (else truncated, so that the client asks by TCP).
// Nil means the bytes were not a query and deserve no reply.
func (z *zone) answer(query []byte, limit int) []byte {
	var parser dnsmessage.Parser
	header, err := parser.Start(query)
	if err != nil || header.Response {
		return nil
	}
	question, err := parser.Question()
	if err != nil {
		return reply(header, nil, dnsmessage.RCodeFormatError, nil, limit)
	}
	if header.OpCode != 0 || question.Class != dnsmessage.ClassINET {
		return reply(header, &question, dnsmessage.RCodeNotImplemented, nil, limit)
	}
	if !z.synced() {
		return reply(header, &question, dnsmessage.RCodeServerFailure, nil, limit)
	}
	name := strings.ToLower(strings.TrimSuffix(question.Name.String(), "."))
	addresses, known := z.lookup(name)
	if !known {
		return reply(header, &question, dnsmessage.RCodeNameError, nil, limit)
	}
	if question.Type != dnsmessage.TypeA && question.Type != dnsmessage.TypeALL {
		addresses = nil
	}
	return reply(header, &question, dnsmessage.RCodeSuccess, addresses, limit)
}

func reply(to dnsmessage.Header, question *dnsmessage.Question, code dnsmessage.RCode, addresses []netip.Addr, limit int) []byte {
	build := func(addresses []netip.Addr, truncated bool) ([]byte, error) {
		message := dnsmessage.Message{Header: dnsmessage.Header{
			ID: to.ID, Response: true, OpCode: to.OpCode, Authoritative: true, RecursionDesired: to.RecursionDesired,
			RecursionAvailable: true, Truncated: truncated, RCode: code,
		}}
		if question != nil {
			message.Questions = []dnsmessage.Question{*question}
		}
		for _, address := range addresses {
			message.Answers = append(message.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: question.Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET},
				Body:   &dnsmessage.AResource{A: address.As4()},
			})
		}
		return message.Pack()
	}
	packed, err := build(addresses, false)
	if err == nil && len(packed) > limit {
		packed, err = build(nil, true)
	}
	if err != nil {
		return nil
	}
	return packed
}

func readFramed(r io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(r, message)
	return message, err
}

func writeFramed(w io.Writer, message []byte) error {
	framed := binary.BigEndian.AppendUint16(nil, uint16(len(message)))
	_, err := w.Write(append(framed, message...))
	return err
}
