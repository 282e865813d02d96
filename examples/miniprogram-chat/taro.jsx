// The same chat as a page of Taro (React): src/pages/chat/index.jsx.
import { useEffect, useRef, useState } from 'react';
import Taro from '@tarojs/taro';
import { Button, Input, Text, View } from '@tarojs/components';
import WebsocketHeartbeat from 'websocket-heartbeat';

export default function Chat() {
    const [state, setState] = useState('idle');
    const [messages, setMessages] = useState([]);
    const [text, setText] = useState('');
    const task = useRef(null);

    useEffect(() => {
        let isOver = false;
        WebsocketHeartbeat({
            miniprogram: Taro,
            connectSocketParams: { url: 'ws://127.0.0.1:8765/' },
        }).then((made) => {
            if (isOver) {
                made.destroy();
                return;
            }
            task.current = made;
            made.onState = setState;
            made.onMessage = ({ data }) => {
                if (data !== made.opts.pingMsg) setMessages((all) => [...all, data]);
            };
        });
        return () => {
            isOver = true;
            task.current?.destroy();
        };
    }, []);

    function send() {
        task.current?.send({ data: text });
        setText('');
    }

    return (
        <View>
            <Text>{state}</Text>
            {messages.map((message, number) => (
                <View key={number}>{message}</View>
            ))}
            <Input value={text} onInput={(event) => setText(event.detail.value)} onConfirm={send} />
            <Button onClick={send}>Send</Button>
        </View>
    );
}
